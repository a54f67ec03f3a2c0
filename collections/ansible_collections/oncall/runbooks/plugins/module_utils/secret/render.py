# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A secret among the settings of a service at Render, and the deploy that makes the service read it."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence
from urllib.parse import quote

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.http_api import ApiClient, ApiError
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.base import Destination, Receipt

API = "https://api.render.com/v1"
_OVER = ("build_failed", "update_failed", "pre_deploy_failed", "canceled", "deactivated")
_INTERVAL = 2.0


def client_of(options: Mapping[str, Any]) -> ApiClient:
    """Return the client of Render's API; raises UsageError for an option that is missing."""
    for name in ("service_id", "key", "token"):
        if not options.get(name):
            raise UsageError(
                "exchange a secret at Render",
                got="destination.%s is empty" % name,
                next_step="set destination.%s" % name,
            )
    headers = {"Authorization": "Bearer %s" % options["token"], "Accept": "application/json"}
    url = options.get("endpoint_url") or API
    return ApiClient(url, name="Render", headers=headers, credential="destination.token")


class RenderSetting(Destination):
    """One setting of one service. Render tells its value in clear, so it is never part of a message."""

    kind = "render"

    def __init__(self, options: Mapping[str, Any], client: ApiClient) -> None:
        self._client = client
        self._service, self._key = str(options["service_id"]), str(options["key"])
        self._path = "/services/%s/env-vars/%s" % (quote(self._service, safe=""), quote(self._key, safe=""))

    @property
    def place(self) -> str:
        return "%s of the service %s at Render" % (self._key, self._service)

    def current(self) -> Optional[str]:
        try:
            return str(self._client.get(self._path)["value"])
        except ApiError as error:
            if error.status != 404:
                raise
        # The same answer for a setting and a service that are not there.
        self._client.get("/services/%s" % quote(self._service, safe=""))
        return None

    def store(self, value: str) -> Receipt:
        # Setting the same value twice is the same: it may be repeated when its answer was lost.
        self._client.request("PUT", self._path, json={"value": value}, repeatable=True)
        if self.current() != value:
            raise VerificationError(
                "write the secret",
                on=self.place,
                got="Render does not tell what was written",
                next_step="see what else changes the settings of this service",
            )
        return {"to": _digest(value)}

    def put_back(self, old: str, receipt: Receipt) -> None:
        now = self.current() or ""
        if now == old:
            return
        if receipt.get("to") != _digest(now):
            raise ConflictError(
                "put the secret back",
                on=self.place,
                got="it was changed again since then",
                next_step="see who changed it; nothing was changed now",
            )
        self.store(old)


class RenderDeploy:
    """The service itself: what was built last is deployed again; a setting is read at a start only."""

    def __init__(
        self,
        options: Mapping[str, Any],
        client: ApiClient,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._timeout, self._clock, self._sleep = client, timeout, clock, sleep
        self.names = [str(options["service_id"])]
        self._path = "/services/%s" % quote(self.names[0], safe="")

    def look(self) -> None:
        if self._client.get(self._path).get("suspended") == "suspended":
            raise ConflictError(
                "deploy the service %s" % self.names[0],
                on="Render",
                got="it is suspended",
                next_step="resume it first, so that it can be seen which secret it takes",
            )

    def recreate(self, secrets: Sequence[str]) -> List[Dict[str, Any]]:  # noqa: ARG002 - no log comes back
        reply = self._client.request("POST", self._path + "/deploys", json={"deployMode": "deploy_only"})
        # 202: it waits behind another deploy and has no id yet.
        found = reply.data or self._client.get(self._path + "/deploys", {"limit": 1})[0]["deploy"]
        deadline = self._clock() + self._timeout
        while found.get("status") != "live":
            if found.get("status") in _OVER or self._clock() > deadline:
                raise self._not_live(found)
            self._sleep(_INTERVAL)
            found = self._client.get("%s/deploys/%s" % (self._path, quote(found["id"], safe="")))
        return []

    def _not_live(self, found: Mapping[str, Any]) -> OncallError:
        return VerificationError(
            "deploy the service %s" % self.names[0],
            on="Render, deploy %s" % found.get("id"),
            got="it is %s" % found.get("status"),
            next_step="read the deploy's log in Render's dashboard",
        )


def _digest(value: str) -> str:
    # Of a random secret of 32 characters or more nothing can be guessed from a part of its hash.
    return hashlib.sha256(value.encode()).hexdigest()[:16]
