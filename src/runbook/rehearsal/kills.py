"""A run that is killed at each of its changing steps, and resumed: nothing is left, nothing is done twice.

The controller is killed (SIGKILL to `ansible-playbook`) where its own record says that it is: as a step
begins, in its middle, and when its end has just been written. The record is read as it grows, so no playbook
and no module knows that it is being rehearsed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
from runbook_engine import lineage, record

from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.runs import Runs
from runbook.rehearsal.score import Kill
from runbook.rehearsal.stack import Options, Stack, running
from runbook.rehearsal.stages import StageFailedError

WHEN = ("before", "middle", "after")
"""When a run is killed, seen from a changing step: as it begins, halfway, when its end has been recorded."""
GONE_S = 5.0
"""Seconds after which nothing of a killed run may be left, and its lock is free."""
_START_S = 600.0
_POLL_S = 0.005
_SESSIONS = "SELECT application_name, state FROM pg_stat_activity WHERE application_name LIKE 'oncall-%'"
_BREAK_GLASS = "rehearsal of a run that is killed"


@dataclass(frozen=True)
class Point:
    """Where a run is killed: `when` is before, middle or after the step; `delay_s` after its beginning."""

    identity: lineage.Identity
    when: str
    delay_s: float = 0.0


def points(applied: Mapping[str, Any], wanted: Collection[str] = WHEN) -> Iterator[Point]:
    """Yield where to kill a run like `applied`: at each changing step, as far as it changed something.

    wanted: which of WHEN.
    """
    return (point for point in _every_point(applied) if point.when in wanted)


def _every_point(applied: Mapping[str, Any]) -> Iterator[Point]:
    for number, (identity, step) in enumerate(
        (identity, step) for identity, step in lineage.identified(applied) if step["status"] == "changed"
    ):
        if number == 0:
            # Later steps begin where the one before has ended: killed after that is killed before this.
            yield Point(identity, "before")
        yield Point(identity, "middle", (step["duration_s"] or 0.0) / 2)
        yield Point(identity, "after")


@dataclass
class Killer:
    """Kills runs of one mitigation for one fault, each on a stand-in of its own."""

    runs: Runs
    case: type[Case]
    fault: Symptom
    options: Options

    def kill(self, point: Point) -> Kill:
        """Kill one run at `point` and resume it."""
        done, parts = Kill(point.identity[0], point.when), self.case.parts | self.fault.parts
        try:
            with running(replace(self.options, system=self.runs.system, parts=parts)) as stack:
                return self._kill(stack, point, done)
        except (StandInError, StageFailedError) as error:
            return replace(done, problem=str(error))

    def _kill(self, stack: Stack, point: Point, done: Kill) -> Kill:
        case = self.case()
        before = broken(case, self.fault, stack)
        asked = {
            "mitigation": self.fault.mitigation,
            "confirm": self.runs.system,
            "break_glass": _BREAK_GLASS,
            **case.parameters(stack, self.fault),
        }
        with self.runs.started(stack, asked) as (folder, process):
            reached = _until(Watch(folder.events, point).there, lambda: process.poll() is None)
            time.sleep(point.delay_s if reached else 0)
            if not reached or process.poll() is not None:
                return replace(done, run=folder.run, problem="the run ended before it could be killed")
            process.kill()
            killed = time.monotonic()
            left, held = _after(stack, folder.run)
            spent = round(time.monotonic() - killed, 2)
        done = replace(done, run=folder.run, left=left, lock_free=not held, freed_after_s=spent)
        if not done.good:
            return done
        again = self.runs.run(stack, "resume", asked | {"resume": folder.run}, exits=("verified",))
        twice = repeated(record.settled(folder), again)
        case.records = self.runs.folders()[-2:]
        problems = case.verified(stack, self.fault, before)
        return replace(done, resumed=again["exit"]["name"], repeated=twice, problem="; ".join(problems))


def broken(case: Case, fault: Symptom, stack: Stack) -> Any:
    """Break a stand-in and return the picture to compare with later."""
    case.healthy(stack)
    # A server that is down cannot be looked at: what is not damaged is remembered before.
    before = None if fault.damages else case.picture(stack)
    fault.run("fault", stack)
    return case.picture(stack) if fault.damages else before


def repeated(killed: Mapping[str, Any], resumed: Mapping[str, Any]) -> list[str]:
    """Return the steps that `killed` had done, as its record or its hosts say, and `resumed` did again."""
    done = {identity for identity, step in lineage.identified(killed) if step["status"] == "changed"}
    ids = {step["id"]: identity for identity, step in lineage.identified(killed)}
    told = resumed.get("reconciled") or ()
    done |= {ids[t["step"]] for t in told if t["state"] == "done" and t["step"] in ids}
    again = {identity for identity, step in lineage.identified(resumed) if step["status"] == "changed"}
    return sorted(f"{name} ({host})" for name, _action, host, _nth in done & again)


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
