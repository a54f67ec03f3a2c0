"""Servers that direct traffic and serve it, and the modules as a task calls them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.action import cdn_failover, cdn_failover_info, cdn_health
from edge_servers import Act, AdminApi

from runbook.rehearsal.vendors.base import VendorServer
from runbook.rehearsal.vendors.cloudflare import Cloudflare

PLUGINS = {
    "cdn_failover": cdn_failover.ActionModule,
    "cdn_failover_info": cdn_failover_info.ActionModule,
    "cdn_health": cdn_health.ActionModule,
}


@pytest.fixture(autouse=True)
def without_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here speaks TLS, and loading the machine's certificates takes 20 ms for each request."""
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda self: None)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[VendorServer]:
    """A system with an admin API."""
    (tmp_path / "admin").mkdir()
    with VendorServer(AdminApi(tmp_path / "admin")) as server:
        yield server


@pytest.fixture
def cloudflare(tmp_path: Path) -> Iterator[VendorServer]:
    """Cloudflare's API and its edge."""
    (tmp_path / "cloudflare").mkdir()
    with VendorServer(Cloudflare(tmp_path / "cloudflare")) as server:
        yield server


@pytest.fixture
def act() -> Act:
    """Run a module's action plugin as a task does."""

    def run(module: str, /, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=check_mode, action=module)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
        action = PLUGINS[module](task, connection, None, None, None, None)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "video1"})
        assert "canary" not in str(result)
        return result

    return run
