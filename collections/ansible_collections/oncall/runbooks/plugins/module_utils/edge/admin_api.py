# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A system's own admin API that directs its CDN: `GET <health>`, `POST <failover>` with the target's name."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.edge.base import (
    EdgeProvider,
    EdgeState,
    Origin,
    Settings,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UnreachableError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.http_api import ApiClient


class AdminApi(EdgeProvider):
    """Speaks to the first of its addresses that answers; a switch goes where the state was read."""

    kind = "admin_api"

    def __init__(self, options: Mapping[str, Any]) -> None:
        if not options.get("token"):
            raise UsageError(
                "use the admin API",
                on=str(options["url"]),
                got="there is no token",
                next_step="set admin_api.token (the system's admin token)",
            )
        urls = [options["url"], *(options.get("fallback_urls") or [])]
        self._clients = [_client(url, options) for url in urls]
        self._health, self._failover = options["health_path"], options["failover_path"]

    @property
    def place(self) -> str:
        return self._clients[0].base_url

    def state(self) -> EdgeState:
        data = self._first(self._health)
        try:
            origins: Tuple[Origin, ...] = tuple(
                Origin(str(one["name"]), one.get("healthy"), str(one.get("note") or ""))
                for one in data["origins"]
            )
            active = str(data["active"])
        except (KeyError, TypeError, AttributeError):
            raise UnreachableError(
                "read the health of the CDN",
                on=self.place + self._health,
                got="the answer has no `active` and `origins`",
                next_step="check admin_api.health_path: another version of the API may answer",
            ) from None
        return EdgeState(active, origins, {"active": active})

    def _first(self, path: str) -> Any:
        for number, client in enumerate(list(self._clients)):
            try:
                data = client.get(path)
            except UnreachableError:
                if number == len(self._clients) - 1:
                    raise
                continue
            # What answered once is asked from now on.
            self._clients[0], self._clients[number] = client, self._clients[0]
            return data
        raise AssertionError("there is at least one address")

    def planned(self, state: EdgeState, target: str) -> Settings:  # noqa: ARG002 - the shared signature
        return {"active": target}

    def apply(self, state: EdgeState, wanted: Settings, *, careful: bool) -> None:  # noqa: ARG002
        # Not repeated: nobody knows whether a second request would toggle back.
        self._clients[0].request("POST", self._failover, json={"target": wanted["active"]})


def _client(url: str, options: Mapping[str, Any]) -> ApiClient:
    return ApiClient(
        url,
        name="the admin API",
        headers={"Authorization": "Bearer %s" % options["token"]},
        credential="admin_api.token",
        timeout=options["timeout"],
        attempts=options["attempts"],
    )
