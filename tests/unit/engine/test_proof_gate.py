"""A change by a runbook that is not proved is refused, or its reason stays in the record."""

from __future__ import annotations

from typing import Any

import pytest
from runbook_engine import gate, plan_text, render, request
from runbook_engine.errors import UsageError

HEADER = {"name": "door-stuck", "group": "doors", "mitigations": [{"name": "oil"}]}
STALE = {
    "system": "barn",
    "runbook": "door-stuck",
    "state": "stale",
    "line": "stale 2026-11-21 at a1b2c3d · 1/2 faults",
    "why": "changed since it was rehearsed: playbooks/door_stuck.yml",
}
PROVED = STALE | {"state": "proved", "line": "proved 2026-11-21", "why": ""}
AT = "2026-11-21T06:43:00.000000Z"
FOUND = {
    "findings": [{"check": "frame", "host": "front", "status": "fail", "summary": "so"}],
    "phase": "diagnose",
}


def _request(**changed: Any) -> gate.Request:
    opened = {
        "system": "barn",
        "mitigation": "oil",
        "parameters": {},
        "undo": None,
        "proof": {"required": True, "max_age_days": 30.0},
    }
    opened |= changed.pop("opened", {})
    events = [
        {
            "type": "run.started",
            "at": AT,
            "data": {"door": changed.pop("door", "runbook"), "operator": "alice"},
        },
        {"type": "run.opened", "at": AT, "data": opened},
        {"type": "step.finished", "at": AT, "data": FOUND | {"step": 1, "host": "front", "status": "ok"}},
    ]
    given: dict[str, Any] = {
        "header": HEADER,
        "events": events,
        "targets": ["front"],
        "alive": ["front"],
        "check_mode": False,
        "confirm": "barn",
        "content": "sha256:1",
        "now": 1795243380.0,
        "max_age_s": 1e9,
        "proof": STALE,
    }
    return gate.Request(**given | changed)


@pytest.mark.parametrize(
    ("door", "override"),
    [
        ("runbook", "--override 'WHY'"),
        ("ansible-playbook", "-e override='WHY'"),
        ("ansible-runner", "-e override='WHY'"),
        ("awx", "the survey's answer override: 'WHY'"),
    ],
)
def test_it_is_refused_at_every_door_with_what_is_stale_and_both_ways_on(door: str, override: str) -> None:
    with pytest.raises(gate.Refused) as caught:
        gate.judge(_request(door=door))
    assert caught.value.kind == "proof"
    assert "door-stuck is not proved for barn: changed since" in caught.value.reason
    assert "playbooks/door_stuck.yml" in caught.value.reason
    assert "Nothing was changed" in caught.value.reason
    assert "runbook rehearse barn door-stuck --all" in caught.value.next_step
    assert override in caught.value.next_step


@pytest.mark.parametrize("state", ["failed", "incomplete", "never rehearsed"])
def test_whatever_is_not_proved_is_refused(state: str) -> None:
    with pytest.raises(gate.Refused, match="not proved"):
        gate.judge(_request(proof=STALE | {"state": state}))


def test_a_reason_lets_it_through_and_stays() -> None:
    decided = gate.judge(_request(override="the site is down and the rehearsal takes ten minutes"))
    assert decided["override"].startswith("the site is down")
    assert decided["proof"] == {key: STALE[key] for key in ("state", "line", "why")} | {"lacking": True}
    told = plan_text.proof_text({"gate": decided})
    assert told.startswith("OVERRIDDEN, because: the site is down")
    assert "playbooks/door_stuck.yml" in told


def test_the_name_of_the_system_is_needed_all_the_same() -> None:
    with pytest.raises(gate.Refused, match="confirm is missing"):
        gate.judge(_request(override="it burns", confirm=""))


@pytest.mark.parametrize(
    "changed",
    [
        {"proof": PROVED},
        {"proof": None},
        {"opened": {"proof": {"required": False, "max_age_days": 0.0}}},
        {"opened": {"undo": "20261121t064300z-7f3a9c", "mitigation": None}},
    ],
)
def test_what_needs_no_proof_or_has_it_passes_without_a_word(changed: dict[str, Any]) -> None:
    decided = gate.judge(_request(**changed))
    assert decided["passed"]
    assert "override" not in decided


def test_an_override_that_is_not_needed_is_not_recorded() -> None:
    assert "override" not in gate.judge(_request(proof=PROVED, override="to be sure"))


def test_a_plan_shows_how_it_stands_and_is_never_refused_for_it() -> None:
    decided = gate.judge(_request(check_mode=True, confirm=""))
    assert decided["mode"] == "plan"
    assert decided["proof"]["lacking"]
    told = plan_text.proof_text({"gate": decided})
    assert told == f"{STALE['line']} ({STALE['why']})"
    assert plan_text.proof_text({"gate": {"proof": PROVED}}) == PROVED["line"]
    assert plan_text.proof_text({"gate": None}) == ""


def test_the_last_lines_of_a_run_say_that_it_was_not_proved() -> None:
    ended = {"code": 0, "name": "verified", "reason": "so", "next_step": "none"}
    result = {"exit": ended, "gate": {"override": "it burns"}, "undone": [], "duration_s": 1.0}
    assert "OVERRIDE: this is not proved by a rehearsal; given reason: it burns" in " ".join(
        " ".join(render.closing(result, "x")).split()
    )


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (None, (False, 0.0)),
        ({"required": True}, (True, 0.0)),
        ({"required": True, "max_age_days": 0.5}, (True, 0.5)),
    ],
)
def test_a_system_says_whether_its_changes_need_a_proof(said: Any, wanted: tuple[bool, float]) -> None:
    asked = request.proof_wanted({"proof": said})
    assert (asked["required"], asked["max_age_days"]) == wanted


@pytest.mark.parametrize("said", ["yes", {"required": True, "max_age_days": "a month"}])
def test_a_system_that_says_it_wrongly_is_told(said: Any) -> None:
    with pytest.raises(UsageError, match=r"system\.proof is"):
        request.proof_wanted({"proof": said})
