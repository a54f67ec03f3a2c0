"""What a run that goes on is told of the runs before it: their changes and their evidence."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
FIRST, NAMED = "20261121t064300z-7f3a9c", "20261121t060000z-000001"


def _step(name: str, status: str = "changed") -> dict[str, Any]:
    return {
        "name": name,
        "action": "a",
        "phase": "mitigate",
        "status": status,
        "started_at": "2026",
        "host": "h",
    }


@pytest.fixture
def filters(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = ROOT / "plugins" / "filter" / "runbook.py"
    spec = importlib.util.spec_from_file_location("runbook_filters", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    results = {
        FIRST: {
            "run": FIRST,
            "steps": [_step("Keep")],
            "evidence": [
                {"step": "5@h", "name": "audit.csv", "path": "/p/audit.csv"},
                {"step": "9@h", "name": "relay.log", "path": "/p/relay.log"},
            ],
        },
        NAMED: {"run": NAMED, "steps": [_step("Earlier")], "evidence": []},
    }
    done = [{"run": FIRST, "step": "5@h", "host": "h", "name": "Keep"}]
    this = {"run": "now", "steps": [_step("Revoke"), _step("Keep", "skipped")], "resumed": done}
    monkeypatch.setattr(made.current, "result_so_far", lambda: this)
    monkeypatch.setattr(made, "_state", lambda: Path("/nowhere"))
    monkeypatch.setattr(made.state, "existing_run", lambda _folder, run: run)
    monkeypatch.setattr(made.record, "read", results.__getitem__)
    return made


def test_the_changes_of_a_run_that_is_resumed_are_among_the_changes(filters: ModuleType) -> None:
    told = [(step["name"], step["run"]) for step in filters.run_changes([NAMED])]
    assert told == [("Earlier", NAMED), ("Keep", FIRST), ("Revoke", "now")]
    assert filters.run_changes([FIRST]) == filters.run_changes([])


def test_only_the_evidence_of_steps_that_are_not_repeated_is_taken_over(filters: ModuleType) -> None:
    assert [evidence["name"] for evidence in filters.run_evidence("h")] == ["audit.csv"]
    assert filters.run_evidence("another") == []
