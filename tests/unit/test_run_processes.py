"""Processes of a run are found by the mark that they were born with, and ended; no others are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils import marked_processes
from ansible_collections.oncall.runbooks.plugins.modules import run_processes

RUN = f"20261121t064300z-{os.getpid() % 0xFFFFFF:06x}"
_DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.fixture
def start() -> Iterator[object]:
    """Start a process with a mark; it is ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(mark: str, *command: str) -> subprocess.Popen[str]:
        made = subprocess.Popen(
            command or ("sleep", "60"),
            env={**os.environ, "ONCALL_STEP": mark},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(made)
        while made.pid not in {p.pid for p in marked_processes.find(mark.partition("/")[0])}:
            time.sleep(0.01)
        return made

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def _do(**options: object) -> dict[str, object]:
    given = {"run": RUN, "host": "", "state": "absent", "grace": 5.0} | options
    check_mode = bool(given.pop("check_mode", False))
    return run_processes.run(given, check_mode=check_mode)


def test_only_the_processes_of_that_run_and_host_are_ended(start) -> None:  # type: ignore[no-untyped-def]
    mine, other, next_run = start(f"{RUN}/front"), start(f"{RUN}/back"), start(f"{RUN}0/front")
    assert _do(host="front", check_mode=True)["ended"] == [f"sleep (process {mine.pid})"]
    assert _do(state="listed")["changed"] is False
    assert mine.poll() is None
    done = _do(host="front")
    assert (done["changed"], done["ended"], done["killed"]) == (True, [f"sleep (process {mine.pid})"], [])
    assert mine.wait(5) == -15
    assert other.poll() is None
    assert _do(host="front")["changed"] is False
    assert len(_do()["ended"]) == 1  # type: ignore[arg-type]
    assert next_run.poll() is None


def test_what_does_not_end_is_killed(start) -> None:  # type: ignore[no-untyped-def]
    deaf = start(f"{RUN}/front", sys.executable, "-c", _DEAF)
    assert deaf.stdout.readline()
    done = _do(grace=0.2)
    assert len(done["killed"]) == 1  # type: ignore[arg-type]
    assert deaf.wait(5) == -9


_PARENT = """
import signal, subprocess, sys, time
def follow(*_):
    subprocess.Popen(["sleep", "60"], start_new_session=True)
    sys.exit()
signal.signal(signal.SIGTERM, follow)
print(1, flush=True)
time.sleep(60)
"""


def test_what_one_of_them_starts_meanwhile_is_asked_to_end_too(start) -> None:  # type: ignore[no-untyped-def]
    parent = start(f"{RUN}/front", sys.executable, "-c", _PARENT)
    assert parent.stdout.readline()
    began = time.monotonic()
    done = _do(grace=20.0)
    assert [said.split(" ")[0] for said in done["ended"]][1:] == ["sleep"]  # type: ignore[attr-defined]
    assert (done["killed"], done["left"]) == ([], [])
    assert time.monotonic() - began < 10


_CLEARS_UP = """
import signal, subprocess, sys, time
def clear_up(*_):
    sys.exit(subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"]).returncode)
signal.signal(signal.SIGTERM, clear_up)
print(1, flush=True)
time.sleep(60)
"""


def test_what_one_of_them_clears_up_with_is_left_in_peace(start) -> None:  # type: ignore[no-untyped-def]
    parent = start(f"{RUN}/front", sys.executable, "-c", _CLEARS_UP)
    assert parent.stdout.readline()
    assert _do(grace=20.0)["killed"] == []
    assert parent.wait(5) == 0
