"""Settings are changed where a real service reads them, proved in its process, and taken back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.modules.service_settings import run

from runbook.rehearsal.processes import alive, wait_until

from .conftest import SECRET, Supervised

Options = Callable[..., dict[str, Any]]
NEW = "canary-new-secret-0123456789-0123456789"


@pytest.fixture
def options(supervised: Supervised, tmp_path: Path) -> Options:
    """Return the module's parameters, every option at its default."""

    def make(**changed: Any) -> dict[str, Any]:
        consumers = [
            {
                "name": name,
                "part": "stream",
                "runtime": supervised.runtime(name),
                "health": supervised.health(name),
            }
            for name in ("web", "api")
        ]
        return {
            "state": "present", "path": str(supervised.env_file), "values": {}, "secrets": {}, "unset": [],
            "consumers": consumers, "for_minutes": 0.0, "scheduler": "process", "file": None, "run": "run-1",
            "private_dir": str(tmp_path / "private"), "stop_timeout": 5.0, "timeout": 8.0, **changed,
        }  # fmt: skip

    return make


def running(supervised: Supervised, name: str = "web") -> str | None:
    """Return what the service really runs with."""
    return supervised.provider(name).read_environment().get("AUTH_JWT_EXPIRY")


def undo_of(result: dict[str, Any], options: Options) -> dict[str, Any]:
    """Return the parameters that undo a result."""
    return options(state="undone", path=None, **result["undo"]["args"])


def test_plan_and_apply_say_the_same_and_only_apply_changes(supervised: Supervised, options: Options) -> None:
    before, pid = supervised.env_file.read_text(), supervised.provider().state().pid
    given = options(values={"AUTH_JWT_EXPIRY": 86400})
    planned = run(given, check_mode=True)
    assert supervised.env_file.read_text() == before
    assert not Path(given["private_dir"]).exists()
    done = run(given, check_mode=False)
    assert [planned[key] for key in ("changed", "diff", "undo", "consumers")] == [
        done[key] for key in ("changed", "diff", "undo", "consumers")
    ]
    assert done["diff"] == {"before": "AUTH_JWT_EXPIRY=3600\n", "after": "AUTH_JWT_EXPIRY=86400\n"}
    assert supervised.env_file.read_text() == before.replace("3600", "86400")
    assert (running(supervised), running(supervised, "api")) == ("86400", "86400")
    assert supervised.provider().state().pid != pid
    again = run(options(values={"AUTH_JWT_EXPIRY": 86400}, run="run-2"), check_mode=False)
    assert (again["changed"], again["consumers"]) == (False, [])


def test_undo_puts_exactly_this_back_and_twice_is_fine(supervised: Supervised, options: Options) -> None:
    before = supervised.env_file.read_text()
    done = run(options(values={"AUTH_JWT_EXPIRY": 86400, "NEW": "1"}), check_mode=False)
    with supervised.env_file.open("a") as file:
        file.write("OF_SOMEBODY_ELSE=1\n")
    planned = run(undo_of(done, options), check_mode=True)
    assert (planned["changed"], running(supervised)) == (True, "86400")
    assert run(undo_of(done, options), check_mode=False)["changed"]
    assert supervised.env_file.read_text() == before + "OF_SOMEBODY_ELSE=1\n"
    assert running(supervised) == "3600"
    assert not run(undo_of(done, options), check_mode=False)["changed"]


def test_undo_refuses_to_overwrite_what_somebody_set_since(supervised: Supervised, options: Options) -> None:
    done = run(options(values={"AUTH_JWT_EXPIRY": 86400}), check_mode=False)
    text = supervised.env_file.read_text().replace("86400", "7200")
    supervised.env_file.write_text(text)
    with pytest.raises(ConflictError, match="since"):
        run(undo_of(done, options), check_mode=False)
    assert supervised.env_file.read_text() == text


def test_a_secret_is_written_and_never_told(supervised: Supervised, options: Options) -> None:
    done = run(options(secrets={"AUTH_JWT_SECRET": NEW}), check_mode=False)
    assert supervised.provider().read_environment()["AUTH_JWT_SECRET"] == NEW
    assert not [s for s in (NEW, SECRET) if s in json.dumps(done)]
    kept = Path(done["undo"]["args"]["file"])
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    run(undo_of(done, options), check_mode=False)
    assert SECRET not in kept.read_text()
    assert supervised.provider().read_environment()["AUTH_JWT_SECRET"] == SECRET


def test_a_consumer_that_was_forgotten_is_started_again(supervised: Supervised, options: Options) -> None:
    supervised.env_file.write_text(f"AUTH_JWT_SECRET={SECRET}\nAUTH_JWT_EXPIRY=86400\n")
    supervised.provider("api").recreate(stop_timeout=5)
    wait_until(lambda: running(supervised, "api") == "86400", timeout=5, what="api")
    done = run(options(values={"AUTH_JWT_EXPIRY": 86400}), check_mode=False)
    assert (done["changed"], done["consumers"], running(supervised)) == (True, ["web"], "86400")


def test_a_service_that_does_not_come_back_gets_its_settings_back(
    supervised: Supervised, options: Options
) -> None:
    before = supervised.env_file.read_text()
    given = options(values={"AUTH_JWT_EXPIRY": 86400}, timeout=0.5)
    supervised.says("api", status=500)
    with pytest.raises(OncallError) as caught:
        run(given, check_mode=False)
    assert "api" in caught.value.message
    assert supervised.env_file.read_text() == before
    assert running(supervised) == "3600"


def due_now(done: dict[str, Any]) -> None:
    """Let the time of a scheduled undo come; nobody knows how long a change takes on a busy machine."""
    path = Path(done["undo"]["args"]["file"])
    beside = path.with_suffix(".next")
    beside.write_text(json.dumps({**json.loads(path.read_text()), "until": 1.0}))
    beside.rename(path)


def test_the_host_takes_a_temporary_change_back_by_itself(supervised: Supervised, options: Options) -> None:
    before = supervised.env_file.read_text()
    done = run(options(values={"AUTH_JWT_EXPIRY": 86400}, for_minutes=60), check_mode=False)
    assert (done["scheduled"]["armed"], running(supervised)) == (True, "86400")
    pid = done["scheduled"]["pid"]
    due_now(done)
    wait_until(lambda: supervised.env_file.read_text() == before, timeout=30, what="the scheduled undo")
    wait_until(lambda: not alive(pid), timeout=15, what="the end of it")
    assert running(supervised) == "3600"
    assert run(options(state="pending"), check_mode=False)["findings"][0]["status"] == "ok"


def test_a_temporary_change_is_told_and_a_second_one_is_refused(
    supervised: Supervised, options: Options
) -> None:
    done = run(options(values={"AUTH_JWT_EXPIRY": 86400}, for_minutes=60), check_mode=False)
    (found,) = run(options(state="pending"), check_mode=False)["findings"]
    assert (found["status"], found["observed"]["armed"], found["observed"]["run"]) == ("warn", True, "run-1")
    with pytest.raises(ConflictError, match="runbook undo run-1"):
        run(options(values={"AUTH_JWT_EXPIRY": 7200}, run="run-2"), check_mode=False)
    os.kill(done["scheduled"]["pid"], signal.SIGKILL)
    wait_until(lambda: not alive(done["scheduled"]["pid"]), timeout=5, what="the end of the schedule")
    (found,) = run(options(state="pending"), check_mode=False)["findings"]
    assert (found["status"], "nothing is left" in found["summary"]) == ("fail", True)
    run(undo_of(done, options), check_mode=False)


def test_an_undo_before_its_time_ends_the_schedule(supervised: Supervised, options: Options) -> None:
    done = run(options(values={"AUTH_JWT_EXPIRY": 86400}, for_minutes=60), check_mode=False)
    run(undo_of(done, options), check_mode=False)
    wait_until(lambda: not alive(done["scheduled"]["pid"]), timeout=10, what="the end of the schedule")


def test_nothing_changes_when_the_undo_cannot_be_scheduled(
    supervised: Supervised, options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = supervised.env_file.read_text()
    refuses = tmp_path / "systemd-run"
    refuses.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    given = options(values={"AUTH_JWT_EXPIRY": 86400}, for_minutes=60, scheduler="systemd")
    with pytest.raises(OncallError, match="nothing was changed"):
        run(given, check_mode=False)
    assert supervised.env_file.read_text() == before
    assert run(options(state="pending"), check_mode=False)["findings"][0]["status"] == "ok"


def test_systemd_is_given_a_command_that_does_it(
    supervised: Supervised, options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # No systemd runs here: what it would be told is kept, and then done as it would.
    kept = tmp_path / "told"
    for name, script in (("systemd-run", f'printf "%s\\n" "$@" > {kept}'), ("systemctl", "echo active")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = supervised.env_file.read_text()
    given = options(values={"AUTH_JWT_EXPIRY": 86400}, for_minutes=60, scheduler="systemd")
    done = run(given, check_mode=False)
    told = kept.read_text().splitlines()
    assert told[:4] == ["--unit", done["scheduled"]["unit"], "--on-active", "3600"]
    assert done["scheduled"]["armed"]
    command = told[told.index(sys.executable) :]
    subprocess.run(command, env={"PATH": os.environ["PATH"]}, check=True, cwd="/")
    assert (supervised.env_file.read_text(), running(supervised)) == (before, "3600")


@pytest.mark.parametrize(
    "wrong", [{}, {"values": {"A": 1}, "unset": ["A"]}, {"values": {"A": "it's"}}, {"values": {"A-B": "1"}}]
)
def test_what_cannot_be_set_is_refused_before_anything_is_looked_at(
    supervised: Supervised, options: Options, wrong: dict[str, Any]
) -> None:
    before = supervised.env_file.read_text()
    with pytest.raises(UsageError):
        run(options(**wrong), check_mode=False)
    assert supervised.env_file.read_text() == before


def test_an_undo_that_failed_on_schedule_is_seen_by_the_next_diagnosis(
    supervised: Supervised, options: Options
) -> None:
    done = run(options(values={"AUTH_JWT_EXPIRY": 86400}, for_minutes=60), check_mode=False)
    supervised.env_file.write_text(supervised.env_file.read_text().replace("86400", "7200"))
    due_now(done)

    def problem() -> str:
        return str(run(options(state="pending"), check_mode=False)["findings"][0]["summary"])

    wait_until(lambda: "somebody has set it" in problem(), timeout=30, what="the failed undo")
