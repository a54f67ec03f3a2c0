"""The detached job, stopped: told to, by its lease, by its driver, by a kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import switch
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile
from ansible_collections.oncall.runbooks.plugins.plugin_utils.restore_driver import Driver
from hand_made import END, small_dump
from job_runs import (
    drive,
    gone,
    live_rows,
    ours,
    shell,
    slow,
    start,
    stuck_in_a_statement,
    stuck_in_an_index,
    wait_for,
)

from runbook.rehearsal.postgres_server import PostgresServer


@pytest.mark.parametrize("make", [slow, stuck_in_a_statement, stuck_in_an_index])
@pytest.mark.parametrize("how", ["timeout", "term"])
def test_an_abort_ends_everything_at_once(
    postgres: PostgresServer, options: RestoreOptions, make: Callable[[], Iterator[ev.Event]], how: str
) -> None:
    started = start(replace(options, timeout=1) if how == "timeout" else options, make)
    began = time.monotonic()
    if how == "timeout":
        result = drive(started)
    else:

        def terminate(command: str, in_data: bytes | None = None, executable: str = "") -> dict[str, Any]:
            if time.monotonic() - began > 1 and not gone(started["pid"]):
                os.kill(started["pid"], signal.SIGTERM)
            return shell(command, in_data)

        url = {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}
        result = Driver(
            terminate, started, lambda wants, state: url, renew_every=60, progress=ProgressFile("", "", "")
        ).follow()
    assert result["error"]["kind"] == ("timeout" if how == "timeout" else "aborted"), result
    assert result["left_unchanged"] is True
    assert time.monotonic() - began < 8
    assert wait_for(lambda: gone(started["pid"]))
    assert ours(postgres, options.database) == [], result
    assert live_rows(postgres, options.database) == 100
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'oncall-run-1'"
    assert wait_for(lambda: postgres.execute(sessions) == [(0,)])


def test_a_job_without_its_controller_ends_itself(postgres: PostgresServer, options: RestoreOptions) -> None:
    quick = RestoreOptions(**{**options.__dict__, "lease": 1.0})
    started = start(quick, slow)
    fifo = Path(started["folder"]) / "control"
    message = '{"urls": {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}}\n'
    fifo.write_text(message)
    assert wait_for(lambda: ours(postgres, options.database) != [])
    assert wait_for(lambda: gone(started["pid"]))
    assert ours(postgres, options.database) == []
    assert not Path(started["folder"]).exists()


def test_a_job_that_nobody_waits_for_never_switches(
    postgres: PostgresServer, options: RestoreOptions
) -> None:
    """Its load is over long before its lease is: that alone must not put anything in service."""
    started = start(replace(options, lease=2.0))
    fifo = Path(started["folder"]) / "control"
    fifo.write_text('{"urls": {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}}\n')
    assert wait_for(lambda: gone(started["pid"]), 20)
    assert ours(postgres, options.database) == []
    assert live_rows(postgres, options.database) == 100


def test_a_switch_that_began_is_not_broken_off(
    postgres: PostgresServer, options: RestoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = switch.swap

    def swap(*arguments: Any, **more: Any) -> tuple[float, int]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)  # the watcher hears it
        done = real(*arguments, **more)
        time.sleep(0.5)
        return done

    monkeypatch.setattr(switch, "swap", swap)
    result = drive(start(options))
    assert result.get("failed") is None, result
    assert result["changed"]
    assert ours(postgres, options.database) == [options.before_name]
    assert live_rows(postgres, options.database, "t") == 1000


class _TimeLimit(BaseException):
    """What Ansible raises in a task that takes too long is no Exception."""


@pytest.mark.parametrize(
    ("stop", "reached"),
    [(KeyboardInterrupt, True), (_TimeLimit, True), (KeyboardInterrupt, False)],
    ids=["interrupt", "time limit", "the word is lost"],
)
def test_a_driver_that_is_stopped_leaves_no_job_that_switches(
    postgres: PostgresServer, options: RestoreOptions, stop: type[BaseException], reached: bool
) -> None:
    """Also where the host does not get the word: looking whether the job is gone is no sign of life."""
    told: list[float] = []

    def stopped(command: str, in_data: bytes | None = None, executable: str = "") -> dict[str, Any]:
        if not told and ours(postgres, options.database):
            told.append(time.monotonic())
            raise stop
        lost = not reached and in_data is not None and b"abort" in in_data
        return {"rc": 255} if lost else shell(command, in_data)

    def two_seconds() -> Iterator[ev.Event]:
        yield from list(small_dump())[:-1]
        time.sleep(2)
        yield END

    started = start(replace(options, lease=3.0), two_seconds)
    url = {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}
    driver = Driver(
        stopped, started, lambda wants, state: url, renew_every=60, progress=ProgressFile("", "", "")
    )
    with pytest.raises(stop):
        driver.follow()
    assert told
    assert wait_for(lambda: gone(started["pid"]))
    assert not Path(started["folder"]).exists()
    assert ours(postgres, options.database) == []
    assert live_rows(postgres, options.database) == 100


def test_a_job_that_did_not_listen_yet_is_told_again(
    postgres: PostgresServer, options: RestoreOptions
) -> None:
    """What is written before it reads is lost without a trace; its lease would let it work on."""
    words: list[float] = []
    stopped: list[bool] = []

    def deaf_at_first(command: str, in_data: bytes | None = None, executable: str = "") -> dict[str, Any]:
        if in_data is not None and b"abort" in in_data:
            words.append(time.monotonic())
            return shell(command, in_data) if len(words) > 1 else {"rc": 0, "stdout": ""}
        if not stopped and ours(postgres, options.database):
            stopped.append(True)
            raise KeyboardInterrupt
        return shell(command, in_data)

    started = start(replace(options, lease=60.0), slow)
    url = {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}
    progress = ProgressFile("", "", "")
    driver = Driver(deaf_at_first, started, lambda wants, state: url, renew_every=60, progress=progress)
    with pytest.raises(KeyboardInterrupt):
        driver.follow()
    assert time.monotonic() - words[0] < 10
    assert wait_for(lambda: gone(started["pid"]))
    assert ours(postgres, options.database) == []


@pytest.mark.parametrize("phase", ["create", "load", "index", "verify", "switch"])
def test_a_killed_job_leaves_the_live_database_and_the_next_run_cleans_up(
    postgres: PostgresServer, options: RestoreOptions, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.oncall.runbooks.plugins.module_utils.restore import progress

    real = progress.Progress.enter

    def enter(self: progress.Progress, name: str, note: str = "") -> None:
        real(self, name, note)
        if name == phase:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(progress.Progress, "enter", enter)
    started = start(options)
    with pytest.raises(OncallError, match="it was killed before it could say why"):
        drive(started)
    monkeypatch.undo()
    assert not Path(started["folder"]).exists()
    assert live_rows(postgres, options.database) == 100
    next_run = RestoreOptions(**{**options.__dict__, "run": "run-2"})
    result = drive(start(next_run))
    assert result.get("failed") is None, result
    assert bool(result.get("resumed")) == (phase == "switch")
    assert ours(postgres, options.database) == [next_run.before_name]
    assert live_rows(postgres, options.database, "t") == 1000
