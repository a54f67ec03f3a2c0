"""The stages of a rehearsal on one stand-in, in order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runbook_engine import approval
from runbook_engine.undo import why_kept

from runbook.rehearsal import stack
from runbook.rehearsal.cases.base import ENDS, Case, Symptom
from runbook.rehearsal.fidelity import compare
from runbook.rehearsal.runs import Runs, ended
from runbook.rehearsal.score import IRREVERSIBLE, NOTHING_TO_UNDO, Score
from runbook.rehearsal.stages import StageFailedError, Stages, must
from runbook.rehearsal.wanted import Wanted

_CHANGING = ("change", "irreversible")
_IN_ONE_GO = "rehearsal of a run that goes on without a plan of its own"
_UNVERIFIED = ("verification_failed", "not_verified", "nothing_changed", "nothing_ran")


@dataclass
class Act:
    """One rehearsal on one stand-in; what it shows goes into `score`."""

    wanted: Wanted
    case: Case
    fault: Symptom
    score: Score
    runs: Runs
    stages: Stages
    before: Any = None
    # Spent on what is no part of a recovery.
    controls_s: float = 0.0

    def play(self) -> dict[str, Any] | None:
        """All stages on one stand-in, in order; return the result of the applied run."""
        with contextlib.ExitStack() as ends:
            with self.stages.stage("stand-in up and healthy") as told:
                self.stack = ends.enter_context(self._standing())
                self.score.postgres = _postgres(self.stack)
                told(self.case.healthy(self.stack))
            if self.wanted.control:
                self._control()
            self._break()
            alarm = time.monotonic()
            asked = self._asked()
            looked = self._advise(asked)
            applied = self._mitigate(alarm, asked, looked) if asked else None
            self.score.recovery_s = self.score.recovery_s or time.monotonic() - alarm - self.controls_s
            self._in_time()
            if applied and applied["exit"]["name"] == "verified":
                self._take_back(applied)
            return applied

    def _standing(self) -> contextlib.AbstractContextManager[stack.Stack]:
        parts = self.case.needs(self.fault)
        if self.wanted.standing:
            standing = stack.Stack(self.wanted.standing)
            return contextlib.nullcontext(standing.require(self.wanted.runbook, parts))
        return stack.running(replace(self.wanted.stack, system=self.wanted.system, parts=parts))

    def _in_time(self) -> None:
        if self.score.recovery_s > self.score.target_s:
            with self.stages.stage("time"):
                raise StageFailedError("verified too late for the system's target")

    def _control(self) -> None:
        with self.stages.stage("control: nothing found on a healthy system") as told:
            result = self._run("diagnose", {}, "healthy", "findings_remain")
            failing, advised = self._checks(result, "fail"), _advised(result)
            self.score.control = not failing and not advised
            must(not failing, f"found where nothing is broken: {', '.join(failing)}")
            must(not advised, f"recommended where nothing is broken: {', '.join(advised)}")
            told(f"{len(result['findings'])} findings, none fails, nothing is recommended")

    def _checks(self, result: Mapping[str, Any], status: str) -> list[str]:
        found = [finding["check"] for finding in result["findings"] if finding["status"] == status]
        return [check for check in found if check not in self.case.always_fails]

    def _break(self) -> None:
        fault = self.fault
        with self.stages.stage(f"fault: {fault.name}") as told:
            must(bool(fault.mitigation or fault.finds or fault.unsure), f"{fault.name} breaks no service")
            # A server that is down cannot be looked at: what is not damaged is remembered before.
            if not fault.damages:
                self.before = self.case.picture(self.stack)
            fault.run("fault", self.stack)
            problem = self.case.problem_outside(self.stack)
            must(bool(problem), "the fault did not break anything that is noticed outside")
            if fault.damages:
                self.before = self.case.picture(self.stack)
            told(problem.splitlines()[0])

    def _asked(self) -> dict[str, Any]:
        """Return what the operator gives the mitigation; nothing where there is none."""
        named = self.fault.mitigation
        return {"mitigation": named, **self.case.parameters(self.stack, self.fault)} if named else {}

    def _look(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Make the first run after the fault: one that only diagnoses or, straight on, the plan."""
        if self.wanted.straight and asked:
            # It diagnoses, too; how it has to end is looked at in its own stage.
            return self._run("plan", asked, check=True)
        return self._run("diagnose", {}, "findings_remain")

    def _advise(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        expects = self.fault.expects
        self.score.detected = self.score.recommended = False
        with self.stages.stage("diagnose: the fault is found") as told:
            result = self._look(asked)
            failing, unsure = self._checks(result, "fail"), self._checks(result, "unknown")
            must(bool(failing or self.fault.unsure), f"no finding is `fail`: {result['exit']['reason']}")
            missed = [check for check in self.fault.finds if check not in failing]
            missed += [check for check in self.fault.unsure if check not in unsure]
            must(not missed, f"found {', '.join(failing + unsure)}, but not {', '.join(missed)}")
            told(", ".join(dict.fromkeys(failing + unsure)))
            self.score.detected = True
        wanted = f"{expects} first" if expects else "nothing of this runbook"
        with self.stages.stage(f"recommend: {wanted}") as told:
            advised = _advised(result)
            right = advised[:1] == ([expects] if expects else [])
            must(right, f"recommended: {', '.join(advised) or 'nothing'}")
            told(", ".join(advised))
            self.score.recommended = True
        return result

    def _mitigate(self, alarm: float, asked: Mapping[str, Any], looked: dict[str, Any]) -> dict[str, Any]:
        fault, score = self.fault, self.score
        plan = self._plan(asked, looked)
        if fault.in_plan:
            return plan
        if self.wanted.control:
            self._sabotaged(asked, plan)
        if fault.later:
            with self.stages.stage("fault: once more, behind the plan"):
                fault.later(self.stack)
        loss = self.case.loss(self.stack, fault)
        score.loss_window_s, score.loss_rows = loss.window_s, loss.rows
        bound = {**asked, "confirm": self.wanted.system, "plan_digest": self._approved(plan)}
        with self.stages.stage(f"apply: {fault.mitigation}, {fault.ends}") as told:
            result = self._run("apply", bound, ENDS[fault.ends])
            self._said(result)
            told("" if fault.ends == "verified" else result["exit"]["reason"])
        self._compare(plan, result)
        if fault.ends != "verified":
            self._left(result)
            result = self._go_on(asked, result) if fault.then else result
        if result["exit"]["name"] == "verified":
            self._verify()
            score.recovery_s = time.monotonic() - alarm - self.controls_s
        # Outside agrees with how the run said that it ended.
        score.verified = True
        return result

    def _plan(self, asked: Mapping[str, Any], looked: dict[str, Any]) -> dict[str, Any]:
        how = self.fault.ends if self.fault.in_plan else "predicted"
        with self.stages.stage(f"plan: {how}, nothing changed") as told:
            ends = ENDS[self.fault.ends] if self.fault.in_plan else "planned"
            straight = self.wanted.straight
            plan = ended(looked, ends) if straight else self._run("plan", asked, ends, check=True)
            self.score.data_loss = str(
                (plan["plan"] or {}).get("data_loss") or _header(plan).get("data_loss") or ""
            )
            problem = self.case.problem_outside(self.stack)
            must(bool(problem), "the plan ended the fault: it changed something")
            if self.fault.damages or self.fault.undoes:
                self._unchanged("the plan")
            if self.fault.in_plan:
                self._said(plan)
                told(plan["exit"]["reason"])
        return plan

    def _said(self, result: Mapping[str, Any]) -> None:
        """An end that is no success tells what was wrong, and what to do."""
        if self.fault.ends == "verified":
            return
        told = result["exit"]
        must(self.fault.says in told["reason"], f"it does not say {self.fault.says!r}: {told['reason']}")
        must(bool(told["next_step"]), "it does not say what to do next")

    def _sabotaged(self, asked: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        began = time.monotonic()
        with self.stages.stage("control: without its changes it is not verified") as told:
            bound = {**asked, "confirm": self.wanted.system, "plan_digest": self._approved(plan)}
            result = self._run("apply", bound, *_UNVERIFIED, skip=_CHANGING)
            told(result["exit"]["name"])
        self.controls_s += time.monotonic() - began

    def _compare(self, plan: Mapping[str, Any], applied: Mapping[str, Any]) -> None:
        with self.stages.stage("predicted = applied") as told:
            match = self.score.predicted_matches = compare(plan, applied)
            must(not match.mismatches, "; ".join(match.mismatches))
            told(f"{match.matched} of {match.compared} changing steps did what the plan had said")

    def _left(self, result: Mapping[str, Any]) -> None:
        """What a run says that it left as it was is as it was."""
        if self.fault.ends not in ("refused", "failed, undone"):
            return
        with self.stages.stage("left as declared: nothing was changed"):
            changed = [s["name"] for s in result["steps"] if s["effect"] in _CHANGING and s["changed"]]
            must(not changed or self.fault.ends == "failed, undone", f"it changed: {', '.join(changed)}")
            if self.fault.damages:
                self._unchanged("the run that failed")

    def _go_on(self, asked: Mapping[str, Any], failed: Mapping[str, Any]) -> dict[str, Any]:
        with self.stages.stage(f"go on: {self.fault.then}, once the cause is gone"):
            if self.fault.relief:
                self.fault.relief(self.stack)
            more = {"resume": failed["run"]} if self.fault.then == "resume" else {}
            bound = {"confirm": self.wanted.system}
            if self.wanted.straight:
                bound["break_glass"] = _IN_ONE_GO
            else:
                plan = self._run("plan", {**asked, **more}, "planned", check=True)
                bound["plan_digest"] = self._approved(plan)
            return self._run("apply", {**asked, **more, **bound}, "verified")

    def _verify(self) -> None:
        with self.stages.stage("verify: from outside") as told:
            self.case.records = self.runs.folders()
            problems = self.case.verified(self.stack, self.fault, self.before)
            must(not problems, "; ".join(problems))
            told(self.case.proof)

    def _approved(self, plan: Mapping[str, Any]) -> str:
        """Have the plan approved where that is needed, as another operator would, and return its digest."""
        if (plan["approval"] or {}).get("required"):
            approval.approve(self.wanted.state, plan["run"], "second operator of the rehearsal")
        return str(plan["plan"]["digest"])

    def _take_back(self, applied: Mapping[str, Any]) -> None:
        changed = [step for step in applied["steps"] if step["status"] == "changed"]
        reversible = [s for s in changed if any(undo.get("reversible", True) for undo in s.get("undo") or ())]
        if not self.fault.undoes and not (self.wanted.undo and reversible):
            stays = [step for step in changed if step["effect"] == IRREVERSIBLE]
            self.score.kept = [f"{step['name']}: {why_kept(step)}" for step in stays]
            ever = stays or _header(applied).get("effect") == IRREVERSIBLE
            self.score.undone = IRREVERSIBLE if ever else (None if reversible else NOTHING_TO_UNDO)
            return
        self.score.undone = False
        with self.stages.stage("undo"):
            if self.fault.heals_first:
                self.fault.run("heal", self.stack)
            asked = {"undo": applied["run"], "confirm": self.wanted.system}
            taken = self._run("undo", asked, "undone")
            kept = (taken["plan"] or {}).get("kept") or ()
            self.score.kept = [f"{step['name']}: {step['why']}" for step in kept]
        with self.stages.stage("compare: as before the run") as told:
            self._unchanged("the undo", undone=True)
            told("everything that the mitigation changed is as it was")
        self.score.undone = True

    def _unchanged(self, what: str, *, undone: bool = False) -> None:
        problems = self.case.differences(self.before, self.case.picture(self.stack), undone=undone)
        must(not problems, f"after {what}: " + "; ".join(problems))

    def _run(
        self,
        phase: str,
        variables: Mapping[str, Any],
        *exits: str,
        check: bool = False,
        skip: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        return self.runs.run(self.stack, phase, variables, exits=exits, check=check, skip=skip)


def _postgres(made: stack.Stack) -> str:
    facts = made.facts.get("postgres")
    return f"{facts['label']} {facts['version']}" if facts else ""


def _header(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the runbook's header says of the mitigation of a run."""
    named: Any = (result["runbook"] or {}).get("mitigations") or ()
    return next((one for one in named if one["name"] == result["mitigation"]), {})


def _advised(result: Mapping[str, Any]) -> list[str]:
    return [mitigation["name"] for mitigation in (result["recommendation"] or {}).get("advised", [])]
