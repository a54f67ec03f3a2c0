"""A setting of a platform: written, read by a deploy only, proved, put back; no key reaches a target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.action.secret_rotate import ActionModule
from ansible_collections.oncall.runbooks.plugins.module_utils.secret import render
from token_service import KEY, OLD, Service

from runbook.rehearsal.vendors.base import VendorServer
from runbook.rehearsal.vendors.render import SERVICE, TOKEN, Render


class Platform:
    """Render with one service that checks tokens, and the module that exchanges its secret."""

    def __init__(self, server: VendorServer, folder: Path) -> None:
        self.vendor, self.folder = server.vendor, folder
        for name in ("settings", "runs_with"):
            self.state[name] = {KEY: OLD, "OTHER": "stays"}
        self.url = server.base_url + "/v1"
        self.service = Service(lambda: OLD)
        self.service.good = self.good  # type: ignore[method-assign]

    @property
    def state(self) -> dict[str, Any]:
        """What Render holds."""
        return self.vendor.state

    def good(self, token: str) -> bool:
        """The service checks with what it was started with."""
        self.service.secret = self.state["runs_with"].get(KEY, "")
        return Service.good(self.service, token)

    def rotate(self, *, check_mode: bool = False, where: Any = None, **options: Any) -> dict[str, Any]:
        """Run the module as a task does."""
        place = {
            "kind": "render",
            "service_id": SERVICE,
            "key": KEY,
            "token": TOKEN,
            "endpoint_url": self.url,
        }
        arguments = {
            "destination": {**place, **(where or {})},
            "services": [],
            "verify": [{"url": self.service.url, "claims": {"sub": "probe"}}],
            "private_dir": str(self.folder / "private"),
            "run": "run-1",
            "timeout": 5.0,
            **options,
        }
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=check_mode, action="secret_rotate")
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
        result = ActionModule(task, connection, None, None, None, None).run(task_vars={})
        told = json.dumps(result)
        assert TOKEN not in told
        assert OLD not in told
        assert self.state["settings"].get(KEY, OLD) not in told
        return result

    def writes(self) -> list[str]:
        """What was asked of Render beside reading."""
        lines = (self.vendor.folder / "requests.jsonl").read_text().splitlines()
        return [one["method"] for one in map(json.loads, lines) if one["method"] != "GET"]


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setattr(render, "_INTERVAL", 0.01)
    folder = tmp_path / "render"
    folder.mkdir()
    with VendorServer(Render(folder)) as server:
        made = Platform(server, tmp_path)
        yield made
        made.service.server.shutdown()
        made.service.server.server_close()


def test_over_and_back(platform: Platform) -> None:
    planned = platform.rotate(check_mode=True)
    assert platform.writes() == []
    done = platform.rotate()
    assert (done["diff"], done["prediction"]) == (planned["diff"], planned["prediction"])
    new = platform.state["runs_with"]
    assert (len(new[KEY]), new[KEY] == OLD, new["OTHER"]) == (64, False, "stays")
    assert done["verified"][0] == {**done["verified"][0], "good": "accepted", "bad": "refused"}
    assert platform.writes() == ["PUT", "POST"]
    back = platform.rotate(state="undone", receipt=done["undo"]["args"]["receipt"])
    assert (back["changed"], platform.state["runs_with"][KEY]) == (True, OLD)
    assert not list((platform.folder / "private").rglob("*secret*"))


@pytest.mark.parametrize("trouble", ["breaks", "the deploy is forgotten"])
def test_a_deploy_that_fails_puts_the_old_secret_back(
    platform: Platform, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble == "breaks":
        platform.state["breaks"] = True
    else:
        monkeypatch.setattr(Render, "_go_on", lambda *_: None)
    failed = platform.rotate(timeout=0.3)
    assert failed["failed"]
    assert platform.state["settings"][KEY] == platform.state["runs_with"][KEY] == OLD
    assert "Render" in failed["msg"]


def test_a_deploy_that_waits_behind_another_is_found(platform: Platform) -> None:
    platform.state["busy"] = True
    assert platform.rotate()["changed"]
    assert platform.state["runs_with"][KEY] != OLD


def test_after_a_breach_no_copy_is_kept(platform: Platform) -> None:
    done = platform.rotate(breach=True)
    assert done["undo"]["reversible"] is False
    assert not (platform.folder / "private").exists()


def test_an_undo_does_not_undo_what_came_later(platform: Platform) -> None:
    done = platform.rotate()
    platform.state["settings"][KEY] = "canary-later-0123456789abcdef0123456789"
    refused = platform.rotate(state="undone", receipt=done["undo"]["args"]["receipt"])
    assert refused["failed"]
    assert platform.state["settings"][KEY].startswith("canary-later")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"service_id": "srv-nobody"}, "not found: service"),
        ({"token": "canary-expired-0123456789"}, "set destination.token to a valid"),
        ({"token": ""}, "set destination.token"),
        ({"service_id": ""}, "set destination.service_id"),
        ({"key": ""}, "set destination.key"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "look whether Render has an outage"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_changed(platform: Platform, where: Any, says: str) -> None:
    refused = platform.rotate(where=where)
    assert refused["failed"]
    assert refused["left_unchanged"]
    assert says in refused["msg"]
    assert platform.state["settings"][KEY] == OLD


def test_a_suspended_service_is_refused_before_anything(platform: Platform) -> None:
    platform.state["suspended"] = "suspended"
    assert "it is suspended" in platform.rotate()["msg"]
    assert platform.state["settings"][KEY] == OLD


def test_services_of_a_host_have_nothing_to_do_with_it(platform: Platform) -> None:
    services = [{"name": "auth", "part": "auth", "runtime": {"kind": "systemd", "name": "auth"}}]
    assert "leave services empty" in platform.rotate(services=services)["msg"]
