"""A run that is killed at each of its changing steps, and resumed: nothing is left, nothing is done twice.

The controller is killed (SIGKILL to `ansible-playbook`) where its own record says that it is: as a step
begins, in its middle, and when its end has just been written, either each on a stand-in of its own or, in
turn, the run that resumes the one that was killed before. The record is read as it grows, so no playbook
and no module knows that it is being rehearsed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
from runbook_engine import lineage, record
from runbook_engine.errors import EngineError
from runbook_engine.state import run_folder

from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.runs import Runs
from runbook.rehearsal.score import Kill
from runbook.rehearsal.stack import Options, Stack, running
from runbook.rehearsal.stages import StageFailedError

GONE_S = 5.0
"""Seconds after which nothing of a killed run may be left, and its lock is free."""
_START_S = 600.0
_POLL_S = 0.005
_SESSIONS = "SELECT application_name, state FROM pg_stat_activity WHERE application_name LIKE 'oncall-%'"
_AGAIN = "killed again"
_ENDED = "the run ended before it could be killed"
_BREAK_GLASS = "rehearsal of a run that is killed"


@dataclass(frozen=True)
class Point:
    """Where a run is killed: `when` is before, middle or after the step; `delay_s` after its beginning."""

    identity: lineage.Identity
    when: str
    delay_s: float = 0.0


def points(applied: Mapping[str, Any]) -> Iterator[Point]:
    """Yield where to kill runs like `applied`: at each changing step, as far as it changed something."""
    for number, (identity, step) in enumerate(_changed(applied)):
        if number == 0:
            # Later steps begin where the one before has ended: killed after that is killed before this.
            yield Point(identity, "before")
        yield Point(identity, "middle", (step["duration_s"] or 0.0) / 2)
        yield Point(identity, "after")


def turns(applied: Mapping[str, Any], *, behind: bool = True) -> list[Point]:
    """Return where to kill a run like `applied`, the one that resumes it, and so on.

    In each step and, if `behind`, after the last one: whoever is killed in a step is killed after the one
    before it.
    """
    every = list(points(applied))
    return [point for point in every if point.when == "middle"] + (every[-1:] if behind else [])


def _changed(result: Mapping[str, Any]) -> Iterator[tuple[lineage.Identity, dict[str, Any]]]:
    return ((identity, step) for identity, step in lineage.identified(result) if step["status"] == "changed")


@dataclass
class Killer:
    """Kills runs of one mitigation for one fault."""

    runs: Runs
    case: type[Case]
    fault: Symptom
    options: Options

    def kill(self, wanted: Sequence[Point]) -> Generator[Kill, None, None]:
        """Kill a run at the first point, the one that resumes it at the next, and let the last resume end.

        Yields each kill once the run that resumed it has ended, and ends with the first that is not good. All
        of them share one stand-in, which is made here.
        """
        parts = self.case.needs(self.fault)
        under_way = Kill(wanted[0].identity[0], wanted[0].when)
        try:
            with running(replace(self.options, system=self.runs.system, parts=parts)) as stack:
                for under_way in self._kill(stack, wanted):
                    yield under_way
        except (StandInError, StageFailedError, EngineError) as error:
            yield replace(under_way, problem=str(error))

    def _kill(self, stack: Stack, wanted: Sequence[Point]) -> Iterator[Kill]:
        case, seen = self.case(), Family()
        before = broken(case, self.fault, stack)
        asked = {
            "mitigation": self.fault.mitigation,
            "confirm": self.runs.system,
            "break_glass": _BREAK_GLASS,
            **case.parameters(stack, self.fault),
        }
        cut = self._cut(stack, asked, wanted[0])
        if cut.good:
            seen.repeated(self._settled(cut))
        again: dict[str, Any] = {}
        for point in wanted[1:]:
            if not cut.good:
                break
            following = self._cut(stack, asked | {"resume": cut.run}, point)
            if following.problem == _ENDED:
                # The step was done when the run before it was killed: there is none left to be killed in.
                again = self._settled(following)
                break
            yield replace(cut, resumed=_AGAIN, repeated=seen.repeated(self._settled(following)))
            cut = following
        if not cut.good:
            yield cut
            return
        again = again or self.runs.run(stack, "resume", asked | {"resume": cut.run}, exits=("verified",))
        case.records = self.runs.folders()[-len(wanted) - 1 :]
        problems = [*case.verified(stack, self.fault, before)]
        if again["exit"]["name"] != "verified":
            problems.insert(0, f"resumed, it ended {again['exit']['name']}: {again['exit']['reason']}")
        yield replace(
            cut, resumed=again["exit"]["name"], repeated=seen.repeated(again), problem="; ".join(problems)
        )

    def _settled(self, cut: Kill) -> dict[str, Any]:
        return record.settled(run_folder(self.runs.state, cut.run))

    def _cut(self, stack: Stack, asked: Mapping[str, Any], point: Point) -> Kill:
        """Start a run, kill it at `point`, and see what is left of it."""
        done = Kill(point.identity[0], point.when)
        with self.runs.started(stack, asked) as (folder, process):
            reached = _until(Watch(folder.events, point).there, lambda: process.poll() is None)
            time.sleep(point.delay_s if reached else 0)
            if not reached or process.poll() is not None:
                return replace(done, run=folder.run, problem=_ENDED)
            process.kill()
            killed = time.monotonic()
            left, held = _after(stack, folder.run)
            spent = round(time.monotonic() - killed, 2)
        return replace(done, run=folder.run, left=left, lock_free=not held, freed_after_s=spent)


class Family:
    """Runs that resume one another: what they have done, as their records or their hosts say."""

    def __init__(self) -> None:
        self._done: set[lineage.Identity] = set()
        self._steps: dict[tuple[str, str], lineage.Identity] = {}

    def repeated(self, result: Mapping[str, Any]) -> list[str]:
        """Add the next run, and return the steps that it did although they were done."""
        for told in result.get("reconciled") or ():
            known = self._steps.get((told["run"], told["step"]))
            if told["state"] == "done" and known:
                self._done.add(known)
        changed = {identity for identity, _ in _changed(result)}
        again = changed & self._done
        self._done |= changed
        self._steps |= {(result["run"], step["id"]): one for one, step in lineage.identified(result)}
        return sorted(f"{name} ({host})" for name, _action, host, _nth in again)


def broken(case: Case, fault: Symptom, stack: Stack) -> Any:
    """Break a stand-in and return the picture to compare with later."""
    case.healthy(stack)
    # A server that is down cannot be looked at: what is not damaged is remembered before.
    before = None if fault.damages else case.picture(stack)
    fault.run("fault", stack)
    return case.picture(stack) if fault.damages else before


class Watch:
    """Whether a run under way has reached `point`, by its record; each event is read once."""

    def __init__(self, events: Path, point: Point) -> None:
        self._events, self._point = events, point
        self._seen, self._read, self._number = lineage.Identities(), 0, 0
        self._ended = False

    def there(self) -> bool:
        """Read what is new in the record and say whether the run is there."""
        for event in self._news():
            data = event["data"]
            if event["type"] == "step.started" and lineage.is_counted(data["phase"], data["effect"]):
                if self._seen.count(data["name"], data["action"], data["host"]) == self._point.identity:
                    self._number = data["step"]
            elif event["type"] == "step.finished" and self._number and data["step"] == self._number:
                self._ended = True
        return self._ended or (bool(self._number) and self._point.when != "after")

    def _news(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(OSError), self._events.open("rb") as record_of_run:
            record_of_run.seek(self._read)
            for line in record_of_run:
                # The last line may not be whole yet.
                if line.endswith(b"\n"):
                    self._read += len(line)
                    yield json.loads(line)


def _until(reached: Callable[[], bool], goes_on: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _START_S
    while not reached():
        if time.monotonic() > deadline or not goes_on():
            return False
        time.sleep(_POLL_S)
    return True


def _after(stack: Stack, run: str) -> tuple[list[str], bool]:
    """Wait until nothing of `run` is left and the lock is free; return what is, and whether it is held."""
    deadline = time.monotonic() + GONE_S
    while True:
        held = lock_held(stack)
        left = [] if held and time.monotonic() < deadline else [*_processes(run), *_sessions(stack)]
        if (not left and not held) or time.monotonic() > deadline:
            return left, held
        time.sleep(0.05)


def lock_held(stack: Stack) -> bool:
    """Whether anybody holds the lock of the system, as its file says."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    for path in (stack.folder / "lock").glob("*.lease"):
        lease = json.loads(path.read_text())
        if not lease["ended"] and lease["expires"] > now:
            return True
    return False


def _processes(run: str) -> list[str]:
    """Return the living processes of a run: of the controller, and of its steps on the target."""
    marks = (f"RUNBOOK_RUN_ID={run}".encode(), f"ONCALL_STEP={run}/".encode())
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        # One that has ended and is not collected yet has no environment any more.
        if int(folder.name) != os.getpid() and any(v.startswith(marks) for v in variables):
            found.append(f"process {folder.name}: {argv.strip()[:160]}")
    return found


def _sessions(stack: Stack) -> list[str]:
    # A server that is down has no sessions, and one that is frozen tells nothing.
    with contextlib.suppress(psycopg2.Error):
        login = stack.server().connect(connect_timeout=2)
        with contextlib.closing(login), login.cursor() as cursor:
            cursor.execute(_SESSIONS)
            return [f"database session {name} ({state})" for name, state in cursor.fetchall()]
    return []
