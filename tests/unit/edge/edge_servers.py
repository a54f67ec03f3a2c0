"""Servers that direct traffic and serve it, and the options that reach them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runbook.rehearsal.vendors.base import Answer, Refusal, Request, Route, Vendor, VendorServer
from runbook.rehearsal.vendors.cloudflare import options_of

TOKEN = "canary-admin-token-0123456789"
Act = Callable[..., dict[str, Any]]


class AdminApi(Vendor):
    """A system's admin API, and the public address that its active origin serves."""

    def initial(self) -> dict[str, Any]:
        """All is well; `serves` is who really answers (None = the active one)."""
        origins = [{"name": "cloudflare", "healthy": True}, {"name": "bunny", "healthy": True}]
        return {"active": "cloudflare", "origins": origins, "serves": None, "stuck": False}

    def authorize(self, request: Request) -> None:
        """Only the admin paths want the token."""
        wanted = f"Bearer {TOKEN}"
        if request.path.startswith("/admin/") and request.headers.get("authorization") != wanted:
            raise Refusal(401, {"error": f"bad token {request.headers.get('authorization')}"})

    def _health(self, request: Request) -> Answer:
        return Answer(200, {key: self.state[key] for key in ("active", "origins")})

    def _failover(self, request: Request) -> Answer:
        target = request.json()["target"]
        well = {one["name"]: one["healthy"] for one in self.state["origins"]}
        if not well[target] and not self.state.get("lax"):
            raise Refusal(409, {"error": f"{target} is not healthy"})
        if not self.state["stuck"]:
            self.state["active"] = target
        return Answer(200, {"active": target})

    def _stream(self, request: Request) -> Answer:
        return Answer(200, {}, {"X-Served-By": self.state["serves"] or self.state["active"]})

    routes: ClassVar[list[Route]] = [
        ("GET", "/admin/cdn/health", _health),
        ("POST", "/admin/cdn/failover", _failover),
        ("GET", "/stream", _stream),
    ]


def probe(url: str, **changed: Any) -> dict[str, Any]:
    """Return an impatient probe."""
    quick = {"times": 3, "interval": 0.01, "within": 0.5, "timeout": 0.3, "served_by_header": "X-Served-By"}
    return {"url": url, **quick, **changed}


def admin_options(server: VendorServer, **changed: Any) -> dict[str, Any]:
    """Return the options that reach `admin`."""
    api = {"url": server.base_url, "token": TOKEN, **changed.pop("api", {})}
    return {
        "provider": "admin_api",
        "primary": "cloudflare",
        "admin_api": api,
        "probe": probe(server.base_url + "/stream"),
        "timeout": 0.5,
        "attempts": 1,
        **changed,
    }


def cloudflare_options(server: VendorServer, **changed: Any) -> dict[str, Any]:
    """Return the options that reach `cloudflare`."""
    options = {"url": server.base_url, **options_of(server.vendor.folder), **changed.pop("api", {})}
    return {
        "provider": "cloudflare_lb",
        "primary": "primary",
        "cloudflare_lb": options,
        "probe": probe(f"{server.base_url}/edge/www.example.com"),
        "timeout": 0.5,
        "attempts": 1,
        **changed,
    }
