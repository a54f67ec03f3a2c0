# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Enlarge a volume of Hetzner Cloud: look, refuse, resize, wait for the action, read back."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Callable, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.http_api import (
    ApiClient,
    ApiError,
    RateLimitedError,
)

API_URL = "https://api.hetzner.cloud/v1"
GB = 1024**3
# Nothing was done: somebody else's action on the volume, or on something that it hangs on, still runs.
_LATER = ("locked", "conflict")
_POLL = 1.0  # seconds
_USUAL = 10.0  # seconds


class HetznerVolume:
    """One volume; `timeout` in seconds is for the whole of a resize."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        progress: Callable[[int], None] = lambda _percent: None,
    ) -> None:
        missing = [name for name in ("token", "volume") if not options.get(name)]
        if missing:
            next_step = "set %s (of the role: host_volume_token, host_volume)" % " and ".join(missing)
            raise UsageError("enlarge the volume", got="missing: " + ", ".join(missing), next_step=next_step)
        self._options, self._name = options, str(options["volume"])
        self._client = ApiClient(
            options.get("url") or API_URL,
            name="Hetzner Cloud",
            headers={"Authorization": "Bearer %s" % options["token"]},
            credential="token (an API token of the project with read and write)",
            timeout=options["request_timeout"],
            attempts=options["attempts"],
        )
        self._clock, self._sleep, self._progress = clock, sleep, progress

    def grow(self, *, check_mode: bool) -> Dict[str, Any]:
        """Make the volume as large as wanted and return the module's result; in check mode only predict.

        Raises OncallError; its `changed` says whether the volume is, or may be, larger than before.
        """
        before, wanted = self._found(), int(self._options["size"])
        self._refuse(before, wanted)
        result = self._predicted(before, wanted)
        if check_mode or not result["changed"]:
            return result
        deadline = self._clock() + self._options["timeout"]
        action = self._started(before["id"], wanted, deadline)
        try:
            self._wait(action, deadline)
            after = self._get(before["id"])
        except OncallError as exc:
            exc.changed = exc.kind == "timeout" or self._may_have_grown(before)
            raise
        if after["size"] < wanted:
            got = "it has %d GB after the action ended well" % after["size"]
            next_step = "look at the volume in the vendor's console"
            error = VerificationError("enlarge the volume", on=self._name, got=got, next_step=next_step)
            error.changed = after["size"] > before["size"]
            raise error
        return result

    def _found(self) -> Dict[str, Any]:
        if self._name.isdigit():
            return self._get(int(self._name))
        found = self._client.get("/volumes", {"name": self._name})["volumes"]
        if len(found) == 1:
            return dict(found[0])
        raise UsageError(
            "find the volume",
            on=self._name,
            got="the project of this token has no volume of this name",
            next_step="correct host_volume (the name or the id), or use the token of the right project",
        )

    def _get(self, identifier: int) -> Dict[str, Any]:
        return dict(self._client.get("/volumes/%d" % identifier)["volume"])

    def _refuse(self, volume: Mapping[str, Any], wanted: int) -> None:
        got, next_step = "", ""
        if wanted < volume["size"]:
            got = "it has %d GB, and no volume can be made smaller than it is" % volume["size"]
            next_step = "set size to more than %d" % volume["size"]
        elif volume["server"] is None:
            got, next_step = "it is attached to no server", "name the volume that this host uses"
        elif volume["status"] != "available":
            got, next_step = "its status is %s" % volume["status"], "wait until it is available"
        if got:
            tried = "make the volume %d GB large" % wanted
            raise UsageError(tried, on=self._name, got=got, next_step=next_step, kind="refused")

    def _started(self, identifier: int, wanted: int, deadline: float) -> Dict[str, Any]:
        try:
            return self._start(identifier, wanted, deadline)
        except UnreachableError as exc:
            # Nobody knows whether it was heard.
            exc.changed = True
            raise

    def _start(self, identifier: int, wanted: int, deadline: float) -> Dict[str, Any]:
        path = "/volumes/%d/actions/resize" % identifier
        while True:
            try:
                return dict(self._client.request("POST", path, json={"size": wanted}).data["action"])
            except RateLimitedError:
                if self._clock() + _POLL > deadline:
                    raise
            except ApiError as exc:
                if exc.code not in _LATER or self._clock() + _POLL > deadline:
                    raise
            self._sleep(_POLL)

    def _wait(self, action: Dict[str, Any], deadline: float) -> None:
        while action["status"] == "running":
            self._progress(int(action.get("progress") or 0))
            if self._clock() > deadline:
                raise ConflictError(
                    "enlarge the volume",
                    on=self._name,
                    got="the action %s still runs (%s %%) after %g s"
                    % (action["id"], action.get("progress"), self._options["timeout"]),
                    next_step="run it again: it goes on from what the volume says then",
                    kind="timeout",
                )
            self._sleep(_POLL)
            action = dict(self._client.get("/actions/%d" % action["id"])["action"])
        if action["status"] != "success":
            said = action.get("error") or {}
            raise OncallError(
                "enlarge the volume",
                on=self._name,
                got="the action %s ended with %s: %s" % (action["id"], said.get("code"), said.get("message")),
                next_step="look at the volume in the vendor's console",
                kind="action",
            )

    def _may_have_grown(self, before: Mapping[str, Any]) -> bool:
        try:
            return bool(self._get(before["id"])["size"] != before["size"])
        except OncallError:
            return True

    def _predicted(self, before: Mapping[str, Any], wanted: int) -> Dict[str, Any]:
        more = wanted - int(before["size"])
        changed = more > 0
        said = "it has %d GB already" % before["size"]
        if changed:
            said = "it grows from %d to %d GB, for good" % (before["size"], wanted)
        result: Dict[str, Any] = {
            "changed": changed,
            "volume": {k: before[k] for k in ("id", "name", "server", "linux_device")},
            "size_before": before["size"],
            "size": wanted,
            "bytes": wanted * GB,
            "prediction": {
                "summary": "volume %s: %s%s" % (before["name"], said, self._cost(more) if changed else ""),
                "duration_s": _USUAL if changed else 0.0,
                "data_loss": "none",
            },
            "diff": {"before": "%d GB\n" % before["size"], "after": "%d GB\n" % wanted},
        }
        if changed:
            why = "A volume cannot be made smaller; a smaller one would need a copy of all data."
            result["undo"] = {"summary": why, "reversible": False}
        return result

    def _cost(self, more: int) -> str:
        price = self._options.get("price_per_gb_month") or 0.0
        if not price:
            return "; it costs more from then on (price_per_gb_month is not set)"
        return "; it costs %.2f %s more each month" % (more * price, self._options["currency"])
