"""A volume grows once, never shrinks, and what the vendor answers on the way is understood."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.action.volume_grow import ActionModule
from ansible_collections.oncall.runbooks.plugins.module_utils.storage import hetzner as client

from runbook.rehearsal.vendors.base import VendorServer
from runbook.rehearsal.vendors.hetzner import Hetzner

Act = Callable[..., dict[str, Any]]


@pytest.fixture
def hetzner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorServer]:
    # Nothing here speaks TLS, and loading the machine's certificates takes 20 ms for each request.
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda self: None)
    monkeypatch.setattr(client, "_POLL", 0.05)
    with VendorServer(Hetzner(tmp_path)) as server:
        yield server


@pytest.fixture
def act(hetzner: VendorServer) -> Act:
    def run(*, check_mode: bool = False, **changed: Any) -> dict[str, Any]:
        arguments = {
            "volume": "roost-data",
            "size": 20,
            "token": hetzner.vendor.state["token"],
            "url": hetzner.base_url + "/v1",
            "timeout": 2,
            "request_timeout": 0.5,
            "attempts": 2,
            **changed,
        }
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=check_mode, action="volume_grow")
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
        action = ActionModule(task, connection, None, None, None, None)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "db1"})
        assert "canary" not in str(result)
        return result

    return run


def size(server: VendorServer) -> int:
    return int(server.vendor.state["volumes"][0]["size"])


def posts(server: VendorServer) -> list[dict[str, Any]]:
    return [r for r in server.requests() if r["method"] != "GET"]


@pytest.mark.parametrize("name", ["roost-data", "4711"])
def test_it_grows_once_and_for_good(
    hetzner: VendorServer, act: Act, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCALL_PROGRESS", str(tmp_path / "progress"))
    planned = act(volume=name, check_mode=True, price_per_gb_month=0.05)
    assert (planned["changed"], size(hetzner), posts(hetzner)) == (True, 10, [])
    done = act(volume=name, price_per_gb_month=0.05)
    assert (done["changed"], size(hetzner)) == (True, 20)
    for key in ("diff", "prediction", "undo", "bytes", "size"):
        assert planned[key] == done[key]
    assert done["bytes"] == 20 * 1024**3
    assert "0.50 EUR more each month" in done["prediction"]["summary"]
    assert done["undo"]["reversible"] is False
    again = act(volume=name)
    assert (again["changed"], len(posts(hetzner))) == (False, 1)
    assert "resize" in (tmp_path / "progress").read_text()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"size": 5}, "no volume can be made smaller"),
        ({"volume": "nope"}, "no volume of this name"),
        ({"volume": "99"}, "not found"),
        ({"token": ""}, "host_volume_token"),
        ({"token": "canary-expired-0123"}, "read and write"),
        ({"size": 99999}, "422"),
    ],
)
def test_what_cannot_be_is_refused(hetzner: VendorServer, act: Act, changed: Any, says: str) -> None:
    failed = act(**changed)
    assert failed["failed"]
    assert failed["left_unchanged"]
    assert says in failed["msg"]
    assert size(hetzner) == 10


@pytest.mark.parametrize(("field", "value"), [("server", None), ("status", "creating")])
def test_a_volume_that_no_host_uses_is_refused(
    hetzner: VendorServer, act: Act, field: str, value: Any
) -> None:
    hetzner.vendor.state["volumes"][0][field] = value
    assert act()["error"]["kind"] == "refused"
    assert posts(hetzner) == []


@pytest.mark.parametrize("status", [423, 409, 429])
def test_a_busy_volume_is_waited_for(hetzner: VendorServer, act: Act, status: int) -> None:
    hetzner.set_faults({"method": "POST", "path": "resize", "do": f"status {status}", "times": 2})
    assert act()["changed"]
    assert size(hetzner) == 20


def test_one_that_stays_busy_is_an_error_in_the_end(hetzner: VendorServer, act: Act) -> None:
    hetzner.set_faults({"method": "POST", "path": "resize", "do": "status 423"})
    failed = act(timeout=0.2)
    assert failed["left_unchanged"]
    assert "locked" in failed["msg"]


def test_a_token_that_may_only_read_is_named(hetzner: VendorServer, act: Act) -> None:
    hetzner.vendor.state["readonly"] = True
    failed = act()
    assert "read and write" in failed["msg"]
    assert failed["left_unchanged"]


def test_an_action_that_fails_is_a_failure(hetzner: VendorServer, act: Act) -> None:
    hetzner.vendor.state["fails"] = True
    failed = act()
    assert "ended with action_failed" in failed["msg"]
    assert failed["left_unchanged"]


def test_an_action_that_takes_too_long_may_still_end_well(hetzner: VendorServer, act: Act) -> None:
    hetzner.vendor.state["seconds"] = 60
    failed = act(timeout=0.2)
    assert failed["error"]["kind"] == "timeout"
    assert not failed["left_unchanged"]
    hetzner.vendor.state["seconds"] = 0
    assert act()["changed"] is False, "meanwhile it has ended, and nothing is asked for twice"


def test_an_answer_that_was_lost_leaves_it_open(hetzner: VendorServer, act: Act) -> None:
    hetzner.set_faults({"method": "POST", "path": "resize", "do": "reset", "times": 1})
    failed = act()
    assert not failed["left_unchanged"]
    assert len(posts(hetzner)) == 1, "a write whose fate is unknown is not sent again"


def test_reading_is_repeated(hetzner: VendorServer, act: Act) -> None:
    rule = {"method": "GET", "do": "status 503", "times": 1, "headers": {"Retry-After": "0"}}
    hetzner.set_faults(rule)
    assert act()["changed"]
    assert json.loads(posts(hetzner)[0]["body"]) == {"size": 20}
