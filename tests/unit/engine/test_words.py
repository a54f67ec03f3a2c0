"""What a run says of itself: no change is claimed that is not, and the next step can be done."""

from __future__ import annotations

from typing import Any

import pytest
from runbook_engine import chain, plan_text, reduce, render
from runbook_engine.pick import step_name

HEADER = {"name": "door-stuck", "mitigations": [{"name": "oil", "title": "Oil", "data_loss": "a squeak"}]}
PLAN: dict[str, Any] = {
    "mitigation": "oil", "title": "Oil", "system": "barn", "targets": ["h"], "parameters": {}, "undos": [],
    "undo_how": "wipe it", "data_loss": "a squeak", "bound": "sha256:0", "digest": "sha256:0",
}  # fmt: skip


def _result(
    *steps: dict[str, Any], door: str = "runbook", check: bool = False, ended: str = "finished", **opened: Any
) -> dict[str, Any]:
    given: dict[str, Any] = {
        "system": "barn",
        "targets": ["h"],
        "parameters": {},
        "mitigation": None,
        "undo": None,
    }
    given |= opened
    data: list[tuple[str, dict[str, Any]]] = [
        ("run.started", {"run": "r", "runbook": HEADER, "door": door, "check_mode": check, "asked": {}}),
        ("run.opened", given),
    ]
    if given["mitigation"] or given["undo"]:
        mode = "plan" if check else "undo" if given["undo"] else "apply"
        data.append(("gate", {"passed": True, "mode": mode, "plan": {**PLAN, "undo": given["undo"]}}))
    for number, step in enumerate(steps, 1):
        base = {
            "step": number,
            "host": "h",
            "name": "Do it",
            "phase": "mitigate",
            "effect": "change",
            "action": "x",
        }
        data.append(("step.started", base | {k: v for k, v in step.items() if k in base}))
        data.append(
            ("step.finished", {**base, "changed": step["status"] == "changed", "duration_s": 1.0} | step)
        )
        if given["undo"]:
            data.append(("undo.done", {"run": given["undo"], "steps": ["1@h"]}))
    data.append(("run.finished", {"ended": ended, "hosts": {}}))
    at = "2026-11-21T06:43:00.000000Z"
    events = [{"n": n, "at": at, "type": kind, "data": d} for n, (kind, d) in enumerate(data, 1)]
    return reduce.reduce(events, chain.Head(len(events), "0"))


def _found(check: str, status: str) -> dict[str, Any]:
    return {"check": check, "host": "h", "status": status, "summary": "so", "observed": 1, "expected": 1}


def test_a_plan_that_does_nothing_claims_nothing_and_says_why() -> None:
    said = "already restored from this backup by run X"
    result = _result(
        {"status": "ok", "prediction": {"summary": said, "duration_s": 9.0}}, check=True, mitigation="oil"
    )
    assert result["exit"]["name"] == "nothing_to_do"
    assert said in result["exit"]["reason"]
    rows = dict(plan_text.plan_rows(result))
    assert rows["steps"] == "0 changes"
    assert rows["does"] == said
    assert not {"data loss", "takes", "undo"} & set(rows)


@pytest.mark.parametrize(
    ("door", "said"),
    [
        ("runbook", "runbook run barn door-stuck"),
        ("ansible-playbook", "the same command without undo and confirm"),
    ],
)
def test_after_an_undo_the_next_step_is_to_measure_again(door: str, said: str) -> None:
    result = _result({"status": "changed"}, door=door, undo="20260101t000000z-abcdef")
    assert (result["exit"]["name"], result["exit"]["next_step"]) == ("undone", f"measure again: {said}")
    assert render.findings_title(result) == "Measured before the change"


@pytest.mark.parametrize(
    ("door", "said"),
    [("runbook", "runbook undo r --apply"), ("ansible-playbook", "-e undo=r -e confirm=barn")],
)
def test_the_undo_is_said_in_the_words_of_the_door(door: str, said: str) -> None:
    undo = [{"role": "a.b.c", "entry_point": "d", "args": {}}]
    result = _result({"status": "changed", "undo": undo}, door=door, mitigation="oil")
    assert result["exit"]["next_step"] == f"take it back: {said}"


def test_what_never_changed_was_not_undone() -> None:
    result = _result(
        {"status": "failed", "phase": "diagnose", "effect": "read", "msg": "undefined"}, mitigation="oil"
    )
    assert result["exit"]["name"] == "failed_undone"
    assert render.headline(result) == "failed, nothing was changed"


def test_the_first_finding_to_look_at_is_the_worst() -> None:
    found = [_found("a", "warn"), _found("b", "fail"), _found("c", "ok")]
    result = _result({"status": "ok", "phase": "diagnose", "effect": "read", "findings": found})
    assert result["exit"]["next_step"] == "look at each finding that is not ok, first: b"
    assert render.findings_title(result) == "Findings"


def test_a_lost_host_is_named_once() -> None:
    result = _result({"status": "unreachable", "phase": "diagnose", "effect": "read", "msg": "no route"})
    assert result["exit"]["reason"] == "h could not be reached in 'Do it': no route"


def test_the_check_of_the_options_is_named_for_a_reader() -> None:
    assert (
        step_name("Validating arguments against arg spec 'status' - Look at it")
        == "Check the options: Look at it"
    )
    assert step_name("Look at it") == "Look at it"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"status": "skipped"}, "start again: runbook run barn door-stuck --mitigation oil --apply"),
        ({"status": "started"}, "go on: runbook resume r --apply"),
    ],
)
def test_after_an_interrupt_the_next_step_is_a_command(step: dict[str, Any], said: str) -> None:
    result = _result(step, ended="interrupted", mitigation="oil", mode="apply")
    assert result["exit"]["next_step"].startswith(said)
