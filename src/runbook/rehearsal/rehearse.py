"""Rehearse a runbook: break the stand-in, run the real playbook, believe only what is seen from outside.

    up and healthy → [control →] fault → diagnose → recommend → plan → apply → verify → undo → compare → score

Every stage is one line of the score; the first that fails ends the rehearsal, because what follows would
prove nothing. What belongs to one runbook is asked of its case (`cases/base.py`).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from runbook_engine import approval
from runbook_engine.errors import EngineError
from runbook_engine.ids import new_run_id
from runbook_engine.state import RunFolder, write_whole

from runbook import runner
from runbook.project import Project
from runbook.rehearsal import cases, isolation, outside, stack
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.processes import StandInError

TARGET_S = 15 * 60
_EXITS = {"diagnose": "findings_remain", "plan": "planned", "apply": "verified", "undo": "undone"}


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
    """What to rehearse.

    `fault`: "" for the default of the runbook's case. `target_s`: seconds from the alarm to verified that the
    system promises. `control`: first prove that the runbook finds nothing to do on a healthy stand-in.
    """

    project: Project
    system: str
    runbook: str
    state: Path
    fault: str = ""
    stack: stack.Options = field(default_factory=stack.Options)
    target_s: float = TARGET_S
    control: bool = False


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
    case = cases.find(wanted.system, wanted.runbook)()
    fault = cases.find_fault(wanted.fault or case.default, wanted.system, wanted.runbook)
    score = Score(
        new_run_id(), wanted.system, wanted.runbook, fault.name, isolation.mode(), target_s=wanted.target_s
    )
    folder = wanted.state / "rehearsals" / score.rehearsal
    folder.mkdir(parents=True, mode=0o700)
    with contextlib.ExitStack() as ends:
        act = _Act(wanted, case, fault, score, observer, say, ends)
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
    case: Case
    fault: Symptom
    score: Score
    observer: Callable[[str], runner.Observer]
    say: Callable[[Stage], None]
    ends: contextlib.ExitStack

    def play(self) -> None:
        """All stages in order."""
        with self._stage("stand-in up and healthy") as told:
            made_of = replace(self.wanted.stack, system=self.wanted.system, parts=self.case.parts)
            self.stack = self.ends.enter_context(stack.running(made_of))
            self.score.postgres = _postgres(self.stack)
            told(self.case.healthy(self.stack))
        if self.wanted.control:
            self._control()
        self._break()
        alarm = time.monotonic()
        self._advise()
        applied = self._mitigate() if self.fault.mitigation else ""
        self.score.recovery_s = time.monotonic() - alarm
        if self.fault.undoes:
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

    def _control(self) -> None:
        with self._stage("control: nothing found on a healthy system") as told:
            result = self._run("diagnose", {}, exits=("healthy", "findings_remain"))
            failing, advised = self._failing(result), _advised(result)
            _must(not failing, f"found where nothing is broken: {', '.join(failing)}")
            _must(not advised, f"recommended where nothing is broken: {', '.join(advised)}")
            told(f"{len(result['findings'])} findings, none fails, nothing is recommended")

    def _failing(self, result: Mapping[str, Any]) -> list[str]:
        failing = [finding["check"] for finding in result["findings"] if finding["status"] == "fail"]
        return [check for check in failing if check not in self.case.always_fails]

    def _break(self) -> None:
        with self._stage(f"fault: {self.fault.name}") as told:
            _must(
                bool(self.fault.mitigation or self.fault.finds), f"{self.fault.name} alone breaks no service"
            )
            # A server that is down cannot be looked at: what is not damaged is remembered before.
            if not self.fault.damages:
                self.before = self.case.picture(self.stack)
            self.fault.run("fault", self.stack)
            problem = self.case.problem_outside(self.stack)
            _must(bool(problem), "the fault did not break anything that is noticed outside")
            if self.fault.damages:
                self.before = self.case.picture(self.stack)
            told(problem.splitlines()[0])

    def _advise(self) -> None:
        expects = self.fault.expects
        with self._stage("diagnose: the fault is found") as told:
            result = self._run("diagnose", {})
            failing = self._failing(result)
            _must(bool(failing), "no finding is `fail`")
            missed = [check for check in self.fault.finds if check not in failing]
            _must(not missed, f"found {', '.join(failing)}, but not {', '.join(missed)}")
            told(", ".join(dict.fromkeys(failing)))
        wanted = f"{expects} first" if expects else "nothing of this runbook"
        with self._stage(f"recommend: {wanted}") as told:
            advised = _advised(result)
            right = advised[:1] == ([expects] if expects else [])
            _must(right, f"recommended: {', '.join(advised) or 'nothing'}")
            told(", ".join(advised))

    def _mitigate(self) -> str:
        mitigation = self.fault.mitigation
        asked = {"mitigation": mitigation, **self.case.parameters(self.stack, self.fault)}
        with self._stage("plan: predicted, nothing changed"):
            plan = self._run("plan", asked, check=True)
            problem = self.case.problem_outside(self.stack)
            _must(bool(problem), "the plan ended the fault: it changed something")
            if self.fault.damages or self.fault.undoes:
                self._unchanged("the plan")
        loss = self.case.loss(self.stack, self.fault)
        self.score.loss_window_s, self.score.loss_rows = loss.window_s, loss.rows
        with self._stage(f"apply: {mitigation}"):
            bound = asked | {"confirm": self.wanted.system, "plan_digest": self._approved(plan)}
            result = self._run("apply", bound)
        with self._stage("verify: from outside") as told:
            problems = self.case.verified(self.stack, self.fault, self.before)
            _must(not problems, "; ".join(problems))
            told(self.case.proof)
        return str(result["run"])

    def _approved(self, plan: Mapping[str, Any]) -> str:
        """Have the plan approved where that is needed, as another operator would, and return its digest."""
        if (plan["approval"] or {}).get("required"):
            approval.approve(self.wanted.state, plan["run"], "second operator of the rehearsal")
        return str(plan["plan"]["digest"])

    def _take_back(self, applied: str) -> None:
        with self._stage("undo"):
            if self.fault.heals_first:
                self.fault.run("heal", self.stack)
            self._run("undo", {"undo": applied, "confirm": self.wanted.system})
        with self._stage("compare: as before the run") as told:
            self._unchanged("the undo", undone=True)
            told("everything that the mitigation changed is as it was")

    def _unchanged(self, what: str, *, undone: bool = False) -> None:
        problems = self.case.differences(self.before, self.case.picture(self.stack), undone=undone)
        _must(not problems, f"after {what}: " + "; ".join(problems))

    def _run(
        self, phase: str, variables: Mapping[str, Any], *, check: bool = False, exits: tuple[str, ...] = ()
    ) -> dict[str, Any]:
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
        expected = exits or (_EXITS[phase],)
        _must(found["name"] in expected, f"{found['name']} instead of {expected[0]}: {found['reason']}")
        return outcome.result


def _postgres(made: stack.Stack) -> str:
    facts = made.facts.get("postgres")
    return f"{facts['label']} {facts['version']}" if facts else ""


def _advised(result: Mapping[str, Any]) -> list[str]:
    return [mitigation["name"] for mitigation in (result["recommendation"] or {}).get("advised", [])]


def _must(condition: bool, problem: str) -> None:
    if not condition:
        raise StageFailedError(problem)
