"""One plan, approved by another operator, for a short time: everything else is refused."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from runbook_engine import approval, gate, plan_digest, record, state

NOW = datetime(2026, 11, 21, 6, 44, tzinfo=UTC)
AT = "2026-11-21T06:43:00.000000Z"
HEADER: dict[str, Any] = {
    "name": "door-stuck",
    "group": "doors",
    "mitigations": [{"name": "replace", "title": "Replace", "effect": "irreversible"}],
}
OPENED: dict[str, Any] = {
    "system": "barn",
    "severity": "SEV-1",
    "group": "doors",
    "targets": ["back", "front"],
    "mitigation": "replace",
    "parameters": {"width": 90, "color": "red"},
    "undo": None,
    "clocks": {},
    "approval": {"required": True, "expires_minutes": 15.0},
}
STEP = {"step": 7, "host": "front", "name": "Replace", "phase": "mitigate", "effect": "irreversible"}
EVERY = ["back", "front", "cellar"]
FOUND = {
    "step": 1,
    "host": "front",
    "status": "ok",
    "changed": False,
    "duration_s": 0.1,
    "phase": "diagnose",
    "findings": [{"check": "frame", "host": "front", "status": "fail", "summary": "broken"}],
}


def _started(operator: str, run: str) -> dict[str, Any]:
    return {"run": run, "operator": operator, "commit": "abc", "runbook": HEADER, "check_mode": True}


def _events(operator: str) -> list[dict[str, Any]]:
    return [
        {"type": "run.started", "at": AT, "data": _started(operator, "")},
        {"type": "run.opened", "at": AT, "data": OPENED},
        {"type": "step.finished", "at": AT, "data": FOUND},
    ]


def _request(**changed: Any) -> gate.Request:
    given: dict[str, Any] = {
        "header": HEADER,
        "events": _events("alice"),
        "targets": ["back", "front"],
        "alive": ["back", "front"],
        "check_mode": False,
        "confirm": "barn",
        "content": "sha256:1",
        "now": NOW.timestamp(),
    }
    return gate.Request(**given | changed)


@pytest.fixture
def planned(tmp_path: Path) -> dict[str, Any]:
    """A recorded plan of alice."""
    folder = state.create_run(tmp_path)
    decided = gate.judge(_request(check_mode=True))
    diff = [{"before": f"old door of {folder.run}\n", "after": "new door, 12 KiB\n"}]
    ended = {
        "step": 7,
        "host": "front",
        "status": "changed",
        "changed": True,
        "duration_s": 1.0,
        "diff": diff,
    }
    with record.RecordWriter(folder) as writer:
        writer.append("run.started", _started("alice", folder.run))
        writer.append("run.opened", OPENED)
        writer.append(
            "step.started", {**STEP, "step": 1, "phase": "diagnose", "effect": "read", "action": "x"}
        )
        writer.append("step.finished", FOUND)
        writer.append("gate", decided)
        writer.append("step.started", {**STEP, "action": "replace"})
        writer.append("step.finished", ended)
        result = writer.finish({"ended": "finished", "hosts": {}})
    assert result["exit"]["name"] == "planned"
    # The clock of the tests stands still; the record's does not.
    return result | {"finished_at": AT}


def _apply(plan: dict[str, Any], given: Any, **changed: Any) -> gate.Request:
    wanted = {"expected_digest": plan["plan"]["digest"], "planned": plan, "approval": given}
    return _request(**{"events": _events("alice")} | wanted | changed)


def test_an_approved_plan_is_applied_with_the_digest_that_was_approved(
    tmp_path: Path, planned: dict[str, Any]
) -> None:
    given = approval.approve(tmp_path, planned["run"], "bob", NOW)
    assert approval.load(tmp_path, planned["plan"]["digest"]) == given
    assert approval.path_of(tmp_path, given["digest"]).stat().st_mode & 0o777 == 0o600
    decided = gate.judge(_apply(planned, given))
    assert decided["approval"]["approved_by"] == "bob"
    assert decided["plan"]["digest"] == planned["plan"]["digest"] != decided["plan"]["bound"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"approval": None}, "there is none"),
        ({"now": NOW.timestamp() + 16 * 60}, "old"),
        ({"events": _events("bob")}, "bob approved this and applies it"),
        ({"expected_digest": "", "planned": None}, "another plan"),
        ({"planned": None}, "No plan with the digest"),
    ],
)
def test_without_a_good_approval_nothing_passes(
    tmp_path: Path, planned: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    given = approval.approve(tmp_path, planned["run"], "bob", NOW)
    with pytest.raises(gate.Refused, match=said) as caught:
        gate.judge(
            _apply(planned, **{"given": given} | change)
            if "approval" not in change
            else _apply(planned, None)
        )
    assert caught.value.next_step


def test_an_approval_expires_also_when_the_plan_is_still_fresh(
    tmp_path: Path, planned: dict[str, Any]
) -> None:
    given = approval.approve(tmp_path, planned["run"], "bob", NOW) | {"expires_at": AT}
    with pytest.raises(gate.Refused, match="expired") as caught:
        gate.judge(_apply(planned, given))
    assert caught.value.kind == "approval"


def test_break_glass_passes_and_its_reason_stays(planned: dict[str, Any]) -> None:
    decided = gate.judge(_apply(planned, None, break_glass="nobody answers the phone"))
    assert decided["break_glass"] == "nobody answers the phone"
    assert "approval" not in decided
    with pytest.raises(gate.Refused, match="confirm"):
        gate.judge(_apply(planned, None, break_glass="nobody answers the phone", confirm=""))


def test_nobody_approves_an_own_plan_or_what_is_no_plan(tmp_path: Path, planned: dict[str, Any]) -> None:
    with pytest.raises(approval.ApprovalError, match="own plan"):
        approval.approve(tmp_path, planned["run"], "alice", NOW)
    other = state.create_run(tmp_path)
    with record.RecordWriter(other) as writer:
        writer.append("run.started", _started("alice", other.run))
        writer.finish({"ended": "finished", "hosts": {}})
    with pytest.raises(approval.ApprovalError, match="no plan"):
        approval.approve(tmp_path, other.run, "bob", NOW)


def test_a_damaged_approval_is_refused_not_ignored(tmp_path: Path, planned: dict[str, Any]) -> None:
    given = approval.approve(tmp_path, planned["run"], "bob", NOW)
    where = approval.path_of(tmp_path, given["digest"])
    for text in ("{", "[]", json.dumps({**given, "approved_by": 7})):
        where.write_text(text)
        with pytest.raises(approval.ApprovalError):
            approval.load(tmp_path, given["digest"])


@pytest.mark.parametrize(
    ("severity", "effect", "said", "required"),
    [
        ("SEV-1", "irreversible", {}, True),
        ("SEV-1", "change", {}, False),
        ("SEV-2", "irreversible", {}, False),
        ("SEV-1", "irreversible", {"replace": {"required": False}}, False),
        ("SEV-3", "change", {"replace": {"required": True, "expires_minutes": 5}}, True),
    ],
)
def test_who_needs_an_approval(severity: str, effect: str, said: dict[str, Any], required: bool) -> None:
    needed = approval.requirement({"approvals": said}, severity, {"name": "replace", "effect": effect})
    assert needed["required"] is required
    assert needed["expires_minutes"] == (5.0 if "expires_minutes" in said.get("replace", {}) else 15.0)


def _edited(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    return text[:at] + chance.choice("xyzäß#") + text[at:]


def _edited_field(given: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    field = chance.choice(["digest", "system", "runbook", "mitigation", "at", "expires_at"])
    return {field: _edited(given[field], chance)}


def _altered(chance: random.Random, given: dict[str, Any]) -> dict[str, Any]:
    """One random change of what is applied, or of the approval; everything else as approved."""
    opened = copy.deepcopy(OPENED)
    events = _events("alice")
    events[1]["data"] = opened
    header = copy.deepcopy(HEADER)
    changes: list[Callable[[], dict[str, Any]]] = [
        lambda: {"targets": chance.choice([["back"], ["front"], EVERY]), "alive": EVERY},
        lambda: {"content": _edited("sha256:1", chance)},
        lambda: {"undos": [{"step": f"{chance.randrange(99)}@front"}]},
        lambda: {"expected_digest": _edited(given["digest"], chance), "planned": None},
        lambda: opened["parameters"].update(width=chance.randrange(91, 9999)) or {},
        lambda: opened["parameters"].update({_edited("color", chance): "red"}) or {},
        lambda: opened.update(system=_edited("barn", chance)) or {"confirm": opened["system"]},
        lambda: opened.update(mitigation=_edited("replace", chance)) or {},
        lambda: header.update(name=_edited("door-stuck", chance)) or {},
        lambda: events[0]["data"].update(commit=_edited("abc", chance)) or {},
        lambda: {"approval": given | _edited_field(given, chance)},
        lambda: {"approval": given | {"approved_by": "alice"}},
    ]  # fmt: skip
    changed = chance.choice(changes)()
    return {"events": events, "header": header} | changed


def test_a_thousand_altered_plans_are_all_refused(tmp_path: Path, planned: dict[str, Any]) -> None:
    given = approval.approve(tmp_path, planned["run"], "bob", NOW)
    chance = random.Random(7)
    for number in range(1000):
        altered = {"approval": given} | _altered(chance, given)
        request = _apply(planned, altered.pop("approval"), **altered)
        with pytest.raises(gate.Refused) as caught:
            gate.judge(request)
        assert caught.value.kind in ("digest", "approval"), (number, caught.value)


def test_the_digest_of_a_plan_moves_with_what_it_predicts_and_not_with_what_may_differ() -> None:
    def made(run: str, after: str, host: str = "front") -> str:
        steps = [{"name": "Restore", "step": f"9@{host}", "diff": [{"before": "live\n", "after": after}]}]
        return plan_digest.with_prediction("sha256:1", run, steps)

    run, other = "20261121t064300z-7f3a9c", "20261121t070000z-000000"
    base = made(run, "db_before_20261121t064300z_7f3a9c 54.2 MiB\n")
    assert made(other, "db_before_20261121t070000z_000000 54.3 MiB\n") == base
    assert made(run, "remove /a 512\n") == made(run, "remove /a 1024\n")
    # Somebody logs in while the other operator reads the plan; that a token stays active is another matter.
    assert made(run, "t: 0 active, 3,202 revoked\n") == made(run, "t: 0 active, 3,204 revoked\n")
    assert made(run, "t: 0 active, 3,202 revoked\n") != made(run, "t: 2 active, 3,202 revoked\n")
    for after in (
        "from roost_prod-2026-11-21T03-00-00Z.sql.gz\n",
        "from roost_prod-2026-11-20T03-00-00Z.sql.gz\n",
    ):
        assert made(run, after) != base
    assert made(run, "from a-2026-11-21T03-00-00Z.sql.gz\n") != made(
        run, "from a-2026-11-20T03-00-00Z.sql.gz\n"
    )
    assert made(run, "x\n", "back") != made(run, "x\n")
