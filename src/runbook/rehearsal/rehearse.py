"""Rehearse a runbook: break the stand-in, run the real playbook, believe only what is seen from outside.

    up and healthy → fault → diagnose → recommend → plan → apply → verify → undo → compare → score

Every stage is one line of the score; the first that fails ends the rehearsal, because what follows would
prove nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_engine import approval
from runbook_engine.errors import EngineError
from runbook_engine.ids import new_run_id
from runbook_engine.state import RunFolder, write_whole

from runbook import runner
from runbook.project import Project
from runbook.rehearsal import isolation, outside, stack, symptoms
from runbook.rehearsal.processes import StandInError

TARGET_S = 15 * 60


class Quiet:
    """An observer of a run that shows nothing."""

    def started(self, folder: RunFolder) -> None:
        """Nothing to show."""

    def poll(self) -> None:
        """Nothing to show."""

    def stopping(self, now: bool) -> None:
        """Nothing to show."""

    def ended(self) -> None:
        """Nothing to show."""


@dataclass(frozen=True)
class Wanted:
    """What to rehearse. `target_s`: seconds from the alarm to verified that the system promises."""

    project: Project
    system: str
    runbook: str
    state: Path
    fault: str = "corrupt-tables"
    stack: stack.Options = field(default_factory=stack.Options)
    target_s: float = TARGET_S


@dataclass(frozen=True)
class Stage:
    """One line of the score: what was proved (or not: `problem`), and how long it took."""

    name: str
    seconds: float
    detail: str = ""
    problem: str = ""


@dataclass
class Score:
    """What a rehearsal showed; `passed` only when every stage that belongs to it did."""

    rehearsal: str
    system: str
    runbook: str
    fault: str
    isolation: str
    postgres: str = ""
    stages: list[Stage] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    passed: bool = False
    target_s: float = TARGET_S
    recovery_s: float = 0.0
    loss_window_s: float = 0.0
    loss_rows: int = 0

    def line(self, report: Path) -> str:
        """The one line that a rehearsal ends with."""
        window = f"data-loss window {_span(self.loss_window_s)} ({self.loss_rows} rows)"
        if not self.loss_window_s:
            window = "no data lost"
        if self.passed:
            clock = f"{_clock(self.recovery_s)} of {_clock(self.target_s)}"
            return f"verified · {clock} · {window} · report: {report}"
        last = self.stages[-1] if self.stages else Stage("start", 0, problem="nothing ran")
        problem = " ".join(last.problem.split())[:300]
        return f"FAILED · {last.name}: {problem} · report: {report}"


class StageFailedError(Exception):
    """A stage did not show what it had to."""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


def _span(seconds: float) -> str:
    return f"{int(seconds) // 3600} h {int(seconds) // 60 % 60} min"


def rehearse(
    wanted: Wanted,
    *,
    observer: Callable[[str], runner.Observer] = lambda _phase: Quiet(),
    say: Callable[[Stage], None] = lambda _stage: None,
) -> tuple[Score, Path]:
    """Rehearse once and return the score and the folder of its report.

    observer: makes the live view of each run, given what the run is for; say: is told each stage as it ends.
    The stand-in ends with this call, however it ends. A failed stage is in the score, not raised.
    """
    fault = symptoms.find(wanted.fault)
    score = Score(
        new_run_id(), wanted.system, wanted.runbook, fault.name, isolation.mode(), target_s=wanted.target_s
    )
    folder = wanted.state / "rehearsals" / score.rehearsal
    folder.mkdir(parents=True, mode=0o700)
    with contextlib.ExitStack() as ends:
        act = _Act(wanted, fault, score, observer, say, ends)
        try:
            act.play()
        except StageFailedError:
            score.passed = False
        finally:
            write_whole(folder / "rehearsal.json", json.dumps(asdict(score), indent=1).encode())
    return score, folder


@dataclass
class _Act:
    wanted: Wanted
    fault: symptoms.Symptom
    score: Score
    observer: Callable[[str], runner.Observer]
    say: Callable[[Stage], None]
    ends: contextlib.ExitStack

    def play(self) -> None:
        """All stages in order."""
        with self._stage("stand-in up and healthy") as told:
            self.stack = self.ends.enter_context(stack.running(self.wanted.stack))
            told(self._healthy())
        with self._stage(f"fault: {self.fault.name}") as told:
            _must(
                bool(self.fault.expects),
                f"{self.fault.name} alone breaks no service",
            )
            # A server that is down cannot be looked at: what is not damaged is remembered before.
            self.before = outside.picture(self.stack)
            self.fault.run("fault", self.stack)
            told(self._broken())
        alarm = time.monotonic()
        self._advise()
        applied = self._mitigate()
        self.score.recovery_s = time.monotonic() - alarm
        if self.fault.damages:
            self._take_back(applied)
        self.score.passed = self.score.recovery_s <= self.score.target_s
        if not self.score.passed:
            self.score.stages.append(Stage("time", 0, problem="verified too late for the system's target"))

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[Callable[[str], None]]:
        began = time.monotonic()
        details: list[str] = []
        problem = ""
        try:
            yield details.append
        except (StageFailedError, StandInError, EngineError) as error:
            problem = str(error)
            raise StageFailedError(problem) from error
        except BaseException as error:
            problem = f"{type(error).__name__}: {error}"
            raise
        finally:
            spent = round(time.monotonic() - began, 3)
            stage = Stage(name, spent, " ".join(details), problem)
            self.score.stages.append(stage)
            self.say(stage)

    def _healthy(self) -> str:
        facts = self.stack.facts
        self.score.postgres = f"{facts['postgres']['label']} {facts['postgres']['version']}"
        error = outside.service_error(self.stack)
        _must(not error, f"the healthy stand-in does not serve: {error}")
        healthy, truth = outside.digest_of(self.stack), outside.truth(self.stack)
        self.score.loss_rows = outside.newer_rows(healthy, truth)
        return f"PostgreSQL {self.score.postgres}, {facts['isolation']}"

    def _broken(self) -> str:
        error = outside.service_error(self.stack)
        _must(bool(error), "the fault did not break anything that a service notices")
        if self.fault.damages:
            self.before = outside.picture(self.stack)
        return error.splitlines()[0]

    def _advise(self) -> None:
        with self._stage("diagnose: the fault is found") as told:
            result = self._run("diagnose", {})
            failing = [f["check"] for f in result["findings"] if f["status"] == "fail"]
            _must(bool(failing), "no finding is `fail`")
            told(", ".join(failing))
        with self._stage(f"recommend: {self.fault.expects} first") as told:
            advised = [m["name"] for m in (result["recommendation"] or {}).get("advised", [])]
            _must(advised[:1] == [self.fault.expects], f"recommended: {', '.join(advised) or 'nothing'}")
            told(", ".join(advised))

    def _mitigate(self) -> str:
        asked = {"mitigation": self.fault.expects}
        with self._stage("plan: predicted, nothing changed"):
            plan = self._run("plan", asked, check=True)
            _must(
                bool(outside.service_error(self.stack)),
                "the plan ended the fault: it changed something",
            )
            if self.fault.damages:
                self._unchanged("the plan")
        backup = datetime.fromisoformat(self.stack.facts["backups"]["good_time"])
        with self._stage(f"apply: {self.fault.expects}"):
            if self.fault.damages:
                self.score.loss_window_s = (datetime.now(UTC) - backup).total_seconds()
            bound = asked | {"confirm": self.wanted.system, "plan_digest": self._approved(plan)}
            result = self._run("apply", bound)
        with self._stage("verify: from outside") as told:
            told(self._verified())
        return str(result["run"])

    def _approved(self, plan: Mapping[str, Any]) -> str:
        """Have the plan approved where that is needed, as another operator would, and return its digest."""
        if (plan["approval"] or {}).get("required"):
            approval.approve(self.wanted.state, plan["run"], "second operator of the rehearsal")
        return str(plan["plan"]["digest"])

    def _verified(self) -> str:
        if self.fault.damages:
            problems = outside.restored_problems(self.stack, self.before)
            _must(not problems, "; ".join(problems))
            return "every table, object, right and setting is what the backup and the live database had"
        error = outside.service_error(self.stack)
        _must(not error, f"a service still gets: {error}")
        self._unchanged("the mitigation")
        return "services are served, and no row, object, right or setting is another"

    def _take_back(self, applied: str) -> None:
        with self._stage("undo"):
            self._run("undo", {"undo": applied, "confirm": self.wanted.system})
        with self._stage("compare: as before the run") as told:
            self._unchanged("the undo", databases=False)
            told("schema, rows, settings, rights, owner and oid are the same")

    def _unchanged(self, what: str, *, databases: bool = True) -> None:
        problems = outside.picture_differences(self.before, outside.picture(self.stack), databases=databases)
        _must(not problems, f"after {what}: " + "; ".join(problems))

    def _run(self, phase: str, variables: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
        """Run the real playbook with the shipped inventory and the overlay; its exit must fit the phase."""
        project, system = self.wanted.project, self.wanted.system
        request = runner.Request(
            project,
            project.playbook(self.wanted.runbook),
            (project.inventories / system, project.inventories / "rehearsal" / system),
            self.wanted.state,
            variables,
            check,
        )
        with outside.environment(REHEARSAL_STACK=str(self.stack.path)):
            outcome = runner.execute(request, self.observer(phase))
        self.score.runs.append(outcome.run)
        if outcome.result is None:
            raise StageFailedError(f"no record of run {outcome.run}: {outcome.output[-800:]}")
        found = outcome.result["exit"]
        expected = {"diagnose": "findings_remain", "plan": "planned", "apply": "verified", "undo": "undone"}[
            phase
        ]
        _must(found["name"] == expected, f"{found['name']} instead of {expected}: {found['reason']}")
        return outcome.result


def _must(condition: bool, problem: str) -> None:
    if not condition:
        raise StageFailedError(problem)
