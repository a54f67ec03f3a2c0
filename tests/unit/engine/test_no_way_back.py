"""A step that finds that its change is lost for good says so, and its plan tells it before the change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runbook_engine import plan_text, record, state
from runbook_engine.undo import why_kept

PLAN = {
    "passed": True,
    "mode": "plan",
    "plan": {
        "system": "barn", "mitigation": "lock", "title": "", "parameters": {}, "undo": None, "undos": [],
        "targets": ["front"], "resumes": None, "digest": "sha256:1", "bound": "sha256:1", "expected": [],
    },
}  # fmt: skip
OPENED: dict[str, Any] = {
    "system": "barn", "severity": "SEV-1", "group": "doors", "targets": ["front"], "mitigation": "lock",
    "parameters": {}, "undo": None, "clocks": {}, "approval": None,
}  # fmt: skip
STEP = {"step": 7, "host": "front", "name": "Change the lock", "phase": "mitigate"}
ENDED = {"step": 7, "host": "front", "status": "changed", "changed": True, "duration_s": 1.0}


def _planned(folder: Path, undo: dict[str, Any]) -> dict[str, Any]:
    made = state.create_run(folder)
    with record.RecordWriter(made) as writer:
        about = {"run": made.run, "operator": "alice", "commit": "abc", "runbook": {"name": "door-stuck"}}
        writer.append("run.started", {**about, "check_mode": True})
        writer.append("run.opened", OPENED)
        writer.append("gate", PLAN)
        writer.append("step.started", {**STEP, "effect": "change", "action": "lock"})
        writer.append("step.finished", {**ENDED, "undo": [undo]})
        return writer.finish({"ended": "finished", "hosts": {}})


def _told(result: dict[str, Any]) -> dict[str, str]:
    return dict(plan_text.plan_rows(result))


def test_it_is_irreversible_in_its_plan_already(tmp_path: Path) -> None:
    undo = {"summary": "the old key is bent", "reversible": False, "no_way_back": True}
    result = _planned(tmp_path, undo)
    told = _told(result)
    assert told["steps"] == "1 irreversible change"
    assert told["no way back"] == "Change the lock cannot be taken back"
    assert why_kept(result["steps"][0]) == "it is irreversible: the old key is bent"


@pytest.mark.parametrize("reversible", [True, False])
def test_what_has_a_way_back_or_needs_none_stays_what_its_tag_says(tmp_path: Path, reversible: bool) -> None:
    told = _told(_planned(tmp_path, {"summary": "so", "reversible": reversible}))
    assert told["steps"] == "1 change, nothing irreversible"
    assert "no way back" not in told
