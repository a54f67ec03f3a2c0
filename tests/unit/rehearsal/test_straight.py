"""Straight on: what is found and recommended is read from the plan, which is made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runbook.project import Project
from runbook.rehearsal.act import Act
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.runs import ended
from runbook.rehearsal.score import Score
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.stages import StageFailedError, Stages
from runbook.rehearsal.wanted import Wanted

ENDS = {"diagnose": ("findings_remain",), "plan": ("planned",), "apply": ("verified",)}


class Broken(Case):
    """A system that is broken until a run is applied."""

    runbook, parts, default = "x", frozenset(), "a"
    symptoms = ()
    mended = True

    def problem_outside(self, stack: Stack) -> str:
        """Return what a user sees."""
        return "" if self.mended else "it is out of order"

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:
        """Return what the mitigation needs."""
        return {"key": "k"}


class Noted:
    """Runs that only note what they are asked for, and say what they are told to."""

    def __init__(self, case: Broken, ends: dict[str, tuple[str, ...]], checks: tuple[str, ...]) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._case, self._ends, self._checks = case, ends, checks

    def run(self, _stack: Stack, phase: str, variables: dict[str, Any], *, exits: Any, **_how: Any) -> Any:
        """Note a run and return its result."""
        before = sum(1 for earlier, _ in self.asked if earlier == phase)
        end = self._ends[phase][min(before, len(self._ends[phase]) - 1)]
        self.asked.append((phase, dict(variables)))
        self._case.mended = self._case.mended or end == "verified"
        return ended(
            {
                "exit": {"name": end, "reason": "so it was", "next_step": "wait"},
                "findings": [{"check": name, "status": "fail"} for name in self._checks],
                "recommendation": {"advised": [{"name": "mend"}]},
                "plan": {"digest": "d"}, "run": f"run{len(self.asked)}", "approval": None, "runbook": None,
                "mitigation": "mend", "steps": [],
            },
            *exits,
        )  # fmt: skip

    def folders(self) -> list[Path]:
        """Return no record."""
        return []


def _play(
    tmp_path: Path,
    *,
    mitigation: str = "mend",
    ends: dict[str, tuple[str, ...]] | None = None,
    declared: dict[str, Any] | None = None,
    **asked: Any,
) -> Any:
    (tmp_path / "stack.json").write_text('{"system": "roost", "parts": [], "isolation": "processes"}')
    case = Broken()

    def inject(_stack: Stack) -> None:
        case.mended = False

    fault = Symptom("a", "a", inject, expects=mitigation, finds=("health",), **(declared or {}))
    wanted = Wanted(
        Project(tmp_path, "here"), "roost", "x", tmp_path, standing=tmp_path / "stack.json", **asked
    )
    runs = Noted(case, ENDS | (ends or {}), ("health",))
    score = Score("r", "roost", "x", "a", "processes")
    act = Act(wanted, case, fault, score, runs, Stages(score.stages, lambda _stage: None))  # type: ignore[arg-type]
    try:
        act.play()
    except StageFailedError:
        assert score.last.problem
    return runs, score


@pytest.mark.parametrize(
    ("straight", "phases"), [(False, ["diagnose", "plan", "apply"]), (True, ["plan", "apply"])]
)
def test_the_plan_is_made_once_and_shows_what_a_diagnosis_would(
    tmp_path: Path, straight: bool, phases: list[str]
) -> None:
    runs, score = _play(tmp_path, straight=straight)
    assert [phase for phase, _ in runs.asked] == phases
    assert runs.asked[-2] == ("plan", {"mitigation": "mend", "key": "k"})
    assert runs.asked[-1][1]["plan_digest"] == "d"
    assert (score.detected, score.recommended, score.verified) == (True, True, True)
    assert [stage.name.split(":")[0] for stage in score.stages] == [
        "stand-in up and healthy", "fault", "diagnose", "recommend", "plan", "apply", "predicted = applied",
        "verify",
    ]  # fmt: skip


def test_a_plan_that_ended_otherwise_fails_its_own_stage(tmp_path: Path) -> None:
    _, score = _play(tmp_path, straight=True, ends={"plan": ("refused",)})
    assert score.detected
    assert score.last.name.startswith("plan")
    assert score.last.problem == "refused instead of planned: so it was"


def test_where_nothing_can_be_planned_it_is_diagnosed(tmp_path: Path) -> None:
    runs, score = _play(tmp_path, straight=True, mitigation="")
    assert [phase for phase, _ in runs.asked] == ["diagnose"]
    assert (score.detected, score.recommended) == (True, False)


@pytest.mark.parametrize(
    ("straight", "phases"), [(False, ["diagnose", "plan", "apply", "plan"]), (True, ["plan", "apply"])]
)
@pytest.mark.parametrize(("then", "more"), [("resume", True), ("again", False)])
def test_once_the_cause_is_gone_it_goes_on_with_or_without_a_second_plan(
    tmp_path: Path, straight: bool, phases: list[str], then: str, more: bool
) -> None:
    declared = {"ends": "failed", "then": then}
    runs, score = _play(
        tmp_path, straight=straight, ends={"apply": ("failed", "verified")}, declared=declared
    )
    assert [phase for phase, _ in runs.asked] == [*phases, "apply"]
    assert score.verified
    given = runs.asked[-1][1]
    assert given.get("resume") == (f"run{phases.index('apply') + 1}" if more else None)
    assert ("break_glass" in given, "plan_digest" in given) == (straight, not straight)
