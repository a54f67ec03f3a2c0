# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A load balancer of Cloudflare: traffic goes to the pools of its list, in order."""

from __future__ import annotations

__metaclass__ = type

import re
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.edge.base import (
    EdgeProvider,
    EdgeState,
    Origin,
    Settings,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UnreachableError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.http_api import ApiClient, ApiError

API_URL = "https://api.cloudflare.com/client/v4"
# These send some visitors to pools of their own, past the default ones.
_BY_PLACE = ("region_pools", "country_pools", "pop_pools")
_SWITCHED = ("default_pools", "fallback_pool", "enabled", *_BY_PLACE)
_PER_PAGE = 50
_ID = re.compile(r"[0-9a-f]{32}\Z")
_NEEDED = ("token", "account_id", "zone_id", "load_balancer")


class CloudflareLb(EdgeProvider):
    """Origins are pools by name. Only PATCH is sent: PUT would replace what it does not name."""

    kind = "cloudflare_lb"

    def __init__(self, options: Mapping[str, Any]) -> None:
        missing = ["cloudflare_lb.%s" % name for name in _NEEDED if not options.get(name)]
        if missing:
            raise UsageError("use Cloudflare", got="missing: %s" % ", ".join(missing), next_step="set them")
        self._name = str(options["load_balancer"])
        self._named = {*(options.get("pools") or []), *(options.get("names") or [])}
        self._zone = "/zones/%s/load_balancers" % options["zone_id"]
        self._account = "/accounts/%s/load_balancers/pools" % options["account_id"]
        self._client = ApiClient(
            options.get("url") or API_URL,
            name="Cloudflare",
            headers={"Authorization": "Bearer %s" % options["token"]},
            credential="cloudflare_lb.token (it needs Load Balancing: Edit on the zone and its account)",
            timeout=options["timeout"],
            attempts=options["attempts"],
        )
        self._pools: Dict[str, Dict[str, Any]] = {}
        self._balancer = ""

    @property
    def place(self) -> str:
        return "load balancer %s of Cloudflare" % self._name

    def state(self) -> EdgeState:
        balancer = self._found()
        self._balancer = balancer["id"]
        # The account's other pools belong to other load balancers: they are no place for this one's traffic.
        ours = self._ids_of(balancer)
        pools = self._list(self._account)
        self._pools = {p["id"]: p for p in pools if p["id"] in ours or p["name"] in self._named}
        settings: Settings = {key: balancer.get(key) or {} for key in _BY_PLACE}
        settings.update(
            default_pools=list(balancer["default_pools"]),
            fallback_pool=balancer["fallback_pool"],
            enabled=balancer.get("enabled", True),
            pools_enabled={i: bool(p.get("enabled", True)) for i, p in sorted(self._pools.items())},
        )
        origins = tuple(self._origin(pool) for pool in self._pools.values())
        return EdgeState(self._active(settings, origins), origins, settings)

    @staticmethod
    def _ids_of(balancer: Mapping[str, Any]) -> Set[str]:
        by_place = [
            pool for key in _BY_PLACE for pools in (balancer.get(key) or {}).values() for pool in pools
        ]
        return {*balancer["default_pools"], balancer["fallback_pool"], *by_place}

    def _found(self) -> Dict[str, Any]:
        if _ID.match(self._name):
            return dict(self._get("%s/%s" % (self._zone, self._name)))
        found = [one for one in self._list(self._zone) if one["name"] == self._name]
        if len(found) == 1:
            return found[0]
        raise UsageError(
            "find the %s" % self.place,
            on=self._zone,
            got="the zone has no load balancer of this name",
            next_step="correct cloudflare_lb.load_balancer (a host name or an id) or cloudflare_lb.zone_id",
        )

    def _origin(self, pool: Mapping[str, Any]) -> Origin:
        name = str(pool["name"])
        if not pool.get("enabled", True):
            return Origin(name, False, "the pool is disabled")
        try:
            health = self._get("%s/%s/health" % (self._account, pool["id"])) or {}
        except (ApiError, UnreachableError) as exc:
            # One pool whose health is not told does not hide the others.
            return Origin(name, None, exc.got)
        seen = {
            str(place): bool(one.get("healthy")) for place, one in (health.get("pop_health") or {}).items()
        }
        if not seen:
            return Origin(name, None, "it has no monitor, or was not checked yet")
        ill = sorted(place for place, well in seen.items() if not well)
        return Origin(name, not ill, "not healthy as seen from %s" % ", ".join(ill) if ill else "")

    def _active(self, settings: Settings, origins: Tuple[Origin, ...]) -> str:
        """The pool that gets the traffic when no visitor is sent elsewhere by place: the first usable one."""
        if any(settings[key] for key in _BY_PLACE):
            return ""
        health = {one.name: one.healthy for one in origins}
        names = [self._pool_name(i) for i in settings["default_pools"]]
        usable = [name for name in names if health.get(name) is not False]
        return usable[0] if usable else self._pool_name(settings["fallback_pool"])

    def _pool_name(self, identifier: str) -> str:
        return str(self._pools.get(identifier, {}).get("name", identifier))

    def planned(self, state: EdgeState, target: str) -> Settings:  # noqa: ARG002 - the shared signature
        chosen = next(i for i, pool in self._pools.items() if pool["name"] == target)
        settings: Settings = {key: {} for key in _BY_PLACE}
        settings.update(
            default_pools=[chosen], fallback_pool=chosen, enabled=True, pools_enabled={chosen: True}
        )
        return settings

    def same(self, now: Settings, wanted: Settings) -> bool:
        return self.before_of(now, wanted) == wanted

    def before_of(self, now: Settings, wanted: Settings) -> Settings:
        # Other pools belong to other load balancers, too: they are not ours to put back.
        pools = {i: on for i, on in now["pools_enabled"].items() if i in wanted["pools_enabled"]}
        return dict(now, pools_enabled=pools)

    def apply(self, state: EdgeState, wanted: Settings, *, careful: bool) -> None:  # noqa: ARG002
        now = state.settings
        switched = [(i, on) for i, on in wanted["pools_enabled"].items() if now["pools_enabled"].get(i) != on]
        # A pool is enabled before it gets the traffic and disabled after it has lost it.
        for identifier, _on in [one for one in switched if one[1]]:
            self._patch("%s/%s" % (self._account, identifier), {"enabled": True})
        changes = {key: wanted[key] for key in _SWITCHED if wanted[key] != now[key]}
        if changes:
            self._patch("%s/%s" % (self._zone, self._balancer), changes)
        for identifier, _on in [one for one in switched if not one[1]]:
            self._patch("%s/%s" % (self._account, identifier), {"enabled": False})

    def _patch(self, path: str, changes: Mapping[str, Any]) -> None:
        # The same PATCH twice is one: it may be sent again when its answer was lost.
        self._result(self._client.request("PATCH", path, json=dict(changes), repeatable=True).data, path)

    def _get(self, path: str) -> Any:
        return self._result(self._client.get(path), path)["result"]

    def _list(self, path: str) -> List[Dict[str, Any]]:
        found: List[Dict[str, Any]] = []
        page = 1
        while True:
            data = self._result(self._client.get(path, {"page": page, "per_page": _PER_PAGE}), path)
            found += data["result"] or []
            total = (data.get("result_info") or {}).get("total_count")
            if not data["result"] or total is None or len(found) >= total:
                return found
            page += 1

    def _result(self, data: Optional[Mapping[str, Any]], path: str) -> Mapping[str, Any]:
        """Cloudflare's envelope: an answer of status 200 may still be a refusal."""
        if isinstance(data, dict) and data.get("success"):
            return data
        errors = data.get("errors") if isinstance(data, dict) else None
        said = "; ".join("%s %s" % (e.get("code", ""), e.get("message", "")) for e in errors or [])
        raise ApiError(
            "use %s" % path,
            status=200,
            on=self.place,
            got=said or "the answer does not say that it succeeded",
            next_step="correct what Cloudflare names",
        )
