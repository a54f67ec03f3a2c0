"""A pause stops exactly one process and what it started, and is taken back exactly; services are refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.samples import tree
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import ServiceState
from ansible_collections.oncall.runbooks.plugins.module_utils.service.pause import pause, read_all, resume

from runbook.rehearsal.processes import wait_until


class Service:
    """A service whose process has the number `pid`; an error is raised instead when there is one."""

    def __init__(self, pid: int, error: OncallError | None = None) -> None:
        self._pid, self._error = pid, error

    def state(self) -> ServiceState:
        """Return where it runs."""
        if self._error:
            raise self._error
        return ServiceState("supervisor", "api", True, True, "up", pid=self._pid)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[int]:
    """A job with a child of its own, called with something that looks like a secret."""
    script = tmp_path / "export-job"
    script.write_text("#!/bin/sh\nsleep 60 &\nwait\n")
    script.chmod(0o700)
    with subprocess.Popen([str(script), "--token=canary-of-the-job"], start_new_session=True) as process:
        wait_until(lambda: len(members(process.pid)) == 2, timeout=5, what="the child of the job")
        yield process.pid
        os.killpg(process.pid, 9)


def members(pid: int) -> list[int]:
    """Return the job and its child."""
    return sorted(tree(read_all(), pid))


def states(pid: int) -> set[str]:
    """Return the states of the job and its child."""
    there = read_all()
    return {there[one].state for one in members(pid)}


def options(pid: int, program: str = "export-job") -> dict[str, Any]:
    """Return the module's parameters."""
    return {"pid": pid, "program": program}


def test_it_pauses_as_planned_and_goes_on_as_before(job: int) -> None:
    planned = pause(options(job), [], check_mode=True)
    assert "T" not in states(job)
    done = pause(options(job), [], check_mode=False)
    assert states(job) == {"T"}
    assert planned["diff"] == done["diff"]
    (evidence,) = done["evidence"]
    assert "export-job" in evidence["content"]
    assert "canary" not in evidence["content"]
    assert pause(options(job), [], check_mode=False)["changed"] is False
    undo = done["undo"]["args"]
    assert resume(undo, check_mode=True)["changed"] is True
    assert states(job) == {"T"}
    assert resume(undo, check_mode=False)["changed"] is True
    assert "T" not in states(job)
    assert resume(undo, check_mode=False)["changed"] is False


def test_another_process_of_that_number_does_not_go_on(job: int) -> None:
    pause(options(job), [], check_mode=False)
    undo = {"processes": [[job, 1], [2**22 + 1, 1]]}
    assert resume(undo, check_mode=False)["changed"] is False
    assert states(job) == {"T"}


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_must_not_pause_is_refused(job: int, check_mode: bool) -> None:
    wrong = OncallError("ask the platform", got="no answer")
    cases: tuple[tuple[dict[str, Any], list[Any], str], ...] = (
        (options(job, "another"), [], "belongs to export-job"),
        (options(2**22 + 1), [], "no such process"),
        (options(1, read_all()[1].name), [], "the host, or this run itself"),
        (options(os.getpid(), read_all()[os.getpid()].name), [], "the host, or this run itself"),
        (options(job), [("api", Service(job))], "belongs to the service api"),
        (options(members(job)[1], "sleep"), [("api", Service(job))], "belongs to the service api"),
        (options(job), [("api", Service(0, wrong))], "is not known"),
    )
    for asked, services, says in cases:
        with pytest.raises(ConflictError, match=says):
            pause(asked, services, check_mode=check_mode)
    assert "T" not in states(job)
