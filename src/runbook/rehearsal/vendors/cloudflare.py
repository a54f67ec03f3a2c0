"""A stand-in of Cloudflare's load balancing: its API, and the edge that its settings steer.

`health.json` in its folder says what the monitors see: pool name → true, false or null (no monitor); a pool
that is not named is healthy. `GET /edge/<host name>` answers as the world sees the load balancer: header
`X-Served-By` names the pool, status 530 means that no origin could be reached.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from runbook.rehearsal.vendors.base import Answer, Refusal, Request, Route, Vendor, serve

_EDGE = "/edge/"
_BALANCER_FIELDS = {
    *(
        "name",
        "description",
        "default_pools",
        "fallback_pool",
        "enabled",
        "proxied",
        "ttl",
        "steering_policy",
    ),
    *("region_pools", "country_pools", "pop_pools", "rules", "session_affinity", "session_affinity_ttl"),
    *("session_affinity_attributes", "random_steering", "adaptive_routing", "location_strategy"),
}
_POOL_FIELDS = {
    *("name", "description", "enabled", "origins", "monitor", "minimum_origins", "check_regions", "latitude"),
    *("longitude", "load_shedding", "notification_email", "notification_filter", "origin_steering"),
}
_BY_PLACE = ("region_pools", "country_pools", "pop_pools")
_SORTS = {"enabled": bool, "proxied": bool, "default_pools": list, "fallback_pool": str, "name": str}


def _envelope(result: Any, **more: Any) -> dict[str, Any]:
    return {"success": True, "errors": [], "messages": [], "result": result, **more}


def _refused(code: int, message: str) -> dict[str, Any]:
    return {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}


class Cloudflare(Vendor):
    """One account with one zone, one load balancer and two pools."""

    def initial(self) -> dict[str, Any]:
        """Return an account whose load balancer sends everything to the pool `primary`, before `standby`."""
        pools = [self._new_pool("primary"), self._new_pool("standby")]
        balancer = {
            "id": secrets.token_hex(16),
            "name": "www.example.com",
            "enabled": True,
            "proxied": True,
            "steering_policy": "off",
            "default_pools": [pool["id"] for pool in pools],
            "fallback_pool": pools[0]["id"],
            **{key: {} for key in _BY_PLACE},
        }
        return {
            "token": "canary-" + secrets.token_hex(16),
            "account_id": secrets.token_hex(16),
            "zone_id": secrets.token_hex(16),
            "pools": pools,
            "balancers": [balancer],
        }

    @staticmethod
    def _new_pool(name: str) -> dict[str, Any]:
        origins = [{"name": f"{name}-1", "address": "198.51.100.7", "enabled": True, "weight": 1}]
        return {
            "id": secrets.token_hex(16),
            "name": name,
            "enabled": True,
            "origins": origins,
            "monitor": "m",
        }

    def set_health(self, **pools: bool | None) -> None:
        """Let the monitors see these pools so; for tests in the same process."""
        part = self.folder / "health.json.part"
        part.write_text(json.dumps(pools))
        part.replace(self.folder / "health.json")

    def _health(self, name: str) -> bool | None:
        path = self.folder / "health.json"
        seen: dict[str, bool | None] = json.loads(path.read_text()) if path.exists() else {}
        return seen.get(name, True)

    def authorize(self, request: Request) -> None:
        """Refuse what carries no token, or another one."""
        if request.path.startswith(_EDGE):
            return
        given = request.headers.get("authorization", "")
        if not given:
            raise Refusal(400, _refused(9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"))
        if given != f"Bearer {self.state['token']}":
            raise Refusal(403, _refused(10000, "Authentication error"))

    def unknown_route(self, request: Request) -> Answer:
        """Answer in Cloudflare's envelope."""
        return Answer(
            404,
            _refused(7003, f"Could not route to {request.path}, perhaps your object identifier is invalid?"),
        )

    def failure(self, status: int) -> Any:
        """Return Cloudflare's envelope of an error."""
        return _refused(10429 if status == 429 else 10500, "injected by the rehearsal")

    def _owned(self, request: Request) -> None:
        for kind in ("account", "zone"):
            given = request.params.get(kind)
            if given is not None and given != self.state[f"{kind}_id"]:
                raise Refusal(403, _refused(10000, "Authentication error"))

    def _one(self, request: Request, kind: str) -> dict[str, Any]:
        self._owned(request)
        for one in self.state[kind]:
            if one["id"] == request.params["id"]:
                found: dict[str, Any] = one
                return found
        raise Refusal(404, _refused(1001, f"{kind[:-1]} not found"))

    def _listed(self, request: Request, kind: str) -> Answer:
        self._owned(request)
        page, size = int(request.query.get("page", 1)), int(request.query.get("per_page", 20))
        every = self.state[kind]
        shown = every[(page - 1) * size : page * size]
        info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(every)}
        return Answer(200, _envelope(shown, result_info=info))

    def _list_pools(self, request: Request) -> Answer:
        return self._listed(request, "pools")

    def _list_balancers(self, request: Request) -> Answer:
        return self._listed(request, "balancers")

    def _get_pool(self, request: Request) -> Answer:
        return Answer(200, _envelope(self._one(request, "pools")))

    def _get_balancer(self, request: Request) -> Answer:
        return Answer(200, _envelope(self._one(request, "balancers")))

    def _pool_health(self, request: Request) -> Answer:
        pool = self._one(request, "pools")
        health = self._health(pool["name"])
        result: dict[str, Any] = {"pool_id": pool["id"], "pop_health": {}}
        if health is not None and pool["enabled"]:
            seen = {
                "healthy": health,
                "failure_reason": "" if health else "HTTP timeout occurred",
                "rtt": "9ms",
            }
            result["pop_health"]["Frankfurt, DE"] = {
                "healthy": health,
                "origins": [{origin["address"]: seen} for origin in pool["origins"]],
            }
        return Answer(200, _envelope(result))

    def _patch_pool(self, request: Request) -> Answer:
        pool = self._one(request, "pools")
        pool.update(self._changes(request, _POOL_FIELDS))
        return Answer(200, _envelope(pool))

    def _patch_balancer(self, request: Request) -> Answer:
        balancer = self._one(request, "balancers")
        changes = self._changes(request, _BALANCER_FIELDS)
        self._check_pools({**balancer, **changes})
        balancer.update(changes)
        return Answer(200, _envelope(balancer))

    @staticmethod
    def _changes(request: Request, known: set[str]) -> dict[str, Any]:
        given = request.json()
        if not isinstance(given, Mapping):
            raise Refusal(400, _refused(1002, "the body is no object"))
        for name, value in given.items():
            if name not in known:
                raise Refusal(400, _refused(1002, f'json: unknown field "{name}"'))
            if not isinstance(value, _SORTS.get(name, object)):
                raise Refusal(400, _refused(1002, f"{name}: wrong type"))
        return dict(given)

    def _check_pools(self, balancer: Mapping[str, Any]) -> None:
        known = {pool["id"] for pool in self.state["pools"]}
        named = [*balancer["default_pools"], balancer["fallback_pool"]]
        named += [pool for key in _BY_PLACE for pools in balancer[key].values() for pool in pools]
        if not balancer["default_pools"] or set(named) - known:
            raise Refusal(
                400, _refused(1002, "default_pools: at least one known pool is needed: validation failed")
            )

    def _edge(self, request: Request) -> Answer:
        """Answer as the world sees it: the first usable pool of the list, else the last resort."""
        pools = {pool["id"]: pool for pool in self.state["pools"]}
        for balancer in self.state["balancers"]:
            if balancer["name"] == request.params["host"] and balancer["enabled"]:
                usable = [p for i in balancer["default_pools"] if self._usable(p := pools[i])]
                chosen = usable[0] if usable else pools[balancer["fallback_pool"]]
                status = 200 if self._usable(chosen) else 530
                return Answer(status, {"served": status == 200}, {"X-Served-By": chosen["name"]})
        return Answer(530, {"served": False})

    def _usable(self, pool: Mapping[str, Any]) -> bool:
        return bool(pool["enabled"]) and self._health(pool["name"]) is not False

    routes: ClassVar[list[Route]] = [
        ("GET", r"/accounts/(?P<account>\w+)/load_balancers/pools", _list_pools),
        ("GET", r"/accounts/(?P<account>\w+)/load_balancers/pools/(?P<id>\w+)", _get_pool),
        ("PATCH", r"/accounts/(?P<account>\w+)/load_balancers/pools/(?P<id>\w+)", _patch_pool),
        ("GET", r"/accounts/(?P<account>\w+)/load_balancers/pools/(?P<id>\w+)/health", _pool_health),
        ("GET", r"/zones/(?P<zone>\w+)/load_balancers", _list_balancers),
        ("GET", r"/zones/(?P<zone>\w+)/load_balancers/(?P<id>\w+)", _get_balancer),
        ("PATCH", r"/zones/(?P<zone>\w+)/load_balancers/(?P<id>\w+)", _patch_balancer),
        ("GET", _EDGE + r"(?P<host>[\w.-]+)", _edge),
    ]


def options_of(folder: Path) -> dict[str, str]:
    """Return what a client of the stand-in in `folder` needs besides its address."""
    state = json.loads((folder / "state.json").read_text())
    return {
        "token": state["token"],
        "account_id": state["account_id"],
        "zone_id": state["zone_id"],
        "load_balancer": state["balancers"][0]["name"],
    }


if __name__ == "__main__":
    serve(Cloudflare)
