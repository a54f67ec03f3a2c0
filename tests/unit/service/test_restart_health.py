"""A real program of supervisord is restarted: its own health decides, and a check comes before."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.modules.service_restart import run

from runbook.rehearsal.processes import wait_until

from .conftest import Supervised

Options = Callable[..., dict[str, Any]]
SHIPPED = Path(__file__).resolve().parents[3] / "inventories/roost/group_vars/all/services.yml"
(TUNNEL,) = (s for s in yaml.safe_load(SHIPPED.read_text())["service_list"] if s["name"] == "tunnel")


@pytest.fixture
def options(supervised: Supervised) -> Options:
    """Return the module's parameters for a program, every option at its default."""

    def make(name: str = "web", **changed: Any) -> dict[str, Any]:
        return {
            "runtime": supervised.runtime(name), "health": supervised.health(name), "log_path": "",
            "database": "", "redis": False, "precheck": [], "recreate": False, "evidence_dir": None,
            "stop_timeout": 5.0, "timeout": 8.0, **changed,
        }  # fmt: skip

    return make


def test_it_waits_for_the_services_own_health(supervised: Supervised, options: Options) -> None:
    supervised.log("2026-11-21T10:00:00Z ERROR before for jane.roe@example.org\n")
    pid = supervised.provider().state().pid
    done = run(options(), check_mode=False)
    assert (done["changed"], supervised.provider().state().pid != pid) == (True, True)
    assert "ERROR before" in done["evidence"][0]["content"]
    assert "jane.roe" not in done["evidence"][0]["content"]


def test_a_service_that_runs_and_is_not_well_is_no_success(supervised: Supervised, options: Options) -> None:
    supervised.says(status=503, body="starting")
    with pytest.raises(VerificationError) as caught:
        run(options(timeout=3.0), check_mode=False)
    assert caught.value.changed
    assert "status 503 instead of 200" in caught.value.message


@pytest.mark.parametrize("state", ["frozen", "killed", "stopped"])
def test_it_comes_back_from_every_state(supervised: Supervised, options: Options, state: str) -> None:
    name = "broken" if state == "stopped" else "web"
    pid = supervised.provider(name).state().pid
    if state == "frozen":
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: supervised.provider().state().frozen, timeout=8, what="the freeze")
    if state == "killed":
        os.kill(pid, signal.SIGKILL)
        # supervisord starts it again; both are fine for a restart.
        wait_until(lambda: supervised.provider().state().pid != pid, timeout=8, what="the end")
    done = run(options(name), check_mode=False)
    assert done["state"]["well"]
    if state == "stopped":
        os.kill(done["state"]["pid"], signal.SIGKILL)
        wait_until(lambda: not supervised.provider(name).state().running, timeout=8, what="the end")


def test_check_mode_predicts_and_restarts_nothing(supervised: Supervised, options: Options) -> None:
    pid = supervised.provider().state().pid
    planned = run(options(recreate=True), check_mode=True)
    assert supervised.provider().state().pid == pid
    assert "settings of its file" in planned["prediction"]["summary"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_configuration_that_is_broken_stops_it_before_the_service(
    supervised: Supervised, options: Options, check_mode: bool
) -> None:
    pid = supervised.provider().state().pid
    argv = ["/bin/sh", "-c", "echo 'no ingress rule, password=canary-of-'the-check >&2; exit 1"]
    with pytest.raises(OncallError, match="nothing was restarted: no ingress rule") as caught:
        run(options(precheck=argv), check_mode=check_mode)
    assert "canary-of-the-check" not in caught.value.message
    assert (caught.value.changed, supervised.provider().state().pid) == (False, pid)
    run(options(precheck=["true"]), check_mode=True)


@pytest.fixture
def tunnel_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shipped check of the tunnel, with a configuration that is there, and no tool as yet."""
    config = tmp_path / "config.yml"
    config.write_text("ingress: []\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return [part.replace("/etc/cloudflared/config.yml", str(config)) for part in TUNNEL["precheck"]]


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        (None, "cloudflared: not found.*Next: install the program"),
        ("echo 'Rule #2 hides rule #3'; exit 1", "Rule #2.*Next: correct its configuration"),
    ],
)
def test_the_shipped_check_of_the_tunnel_refuses(
    supervised: Supervised, options: Options, tunnel_check: list[str], tool: str | None, told: str
) -> None:
    pid = supervised.provider().state().pid
    if tool is not None:
        add_tool(tunnel_check, tool)
    with pytest.raises(OncallError, match=f"(?s)nothing was restarted.*{told}"):
        run(options(precheck=tunnel_check), check_mode=False)
    assert supervised.provider().state().pid == pid


def test_the_shipped_check_of_the_tunnel_lets_a_good_configuration_pass(
    options: Options, tunnel_check: list[str]
) -> None:
    add_tool(tunnel_check, "exit 0")
    assert run(options(precheck=tunnel_check), check_mode=True)["changed"]


def add_tool(check: list[str], does: str) -> None:
    """Write a `cloudflared` that takes what the real one takes: `tunnel --config FILE ingress validate`."""
    config = next(word for word in check[-1].split() if word.endswith("config.yml"))
    tool = Path(config).with_name("cloudflared")
    tool.write_text(f'#!/bin/sh\n[ $# = 5 ] && [ "$4 $5" = "ingress validate" ] || exit 9\n{does}\n')
    tool.chmod(0o755)


def test_a_service_that_does_not_exist_is_named(supervised: Supervised, options: Options) -> None:
    with pytest.raises(OncallError, match="does not exist"):
        run(options(runtime=supervised.runtime("nobody")), check_mode=True)


def test_recreating_reads_the_settings_again(supervised: Supervised, options: Options) -> None:
    text = supervised.env_file.read_text().replace("3600", "7200")
    supervised.env_file.write_text(text)
    started = time.monotonic()
    run(options(recreate=True), check_mode=False)
    assert supervised.provider().read_environment()["AUTH_JWT_EXPIRY"] == "7200"
    assert time.monotonic() - started < 8
