"""A run that is killed with its change in place: nothing of it lives on, and its undo gives all back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rehearsing import kill_when, must_apply

from runbook.rehearsal import cases, outside_backups, stack
from runbook.rehearsal.cases.base import Case
from runbook.rehearsal.parts import services

pytestmark = pytest.mark.slow
_WHOLE = """
SELECT 1 FROM pg_db_role_setting, unnest(setconfig) option
WHERE option LIKE 'oncall_runbooks.restore=%' AND option LIKE '%"phase": "verified"%'"""
_SEAL = ".sha256"


def _broken(made: stack.Stack, runbook: str, fault: str) -> tuple[Case, Any]:
    """Break a stand-in; return its case, and the picture of what is broken, to compare with."""
    case = cases.find(made.system, runbook)()
    cases.find_fault(fault, made.system, runbook).run("fault", made)
    return case, case.picture(made)


def test_a_run_killed_with_its_change_in_place_is_taken_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with stack.running(stack.Options(scale=0.2, parts=cases.find("roost", "auth-outage").parts)) as made:
        case, before = _broken(made, "auth-outage", "tokens-expire-at-once")
        asked = ("roost", "auth-outage", "--mitigation", "extend-token-lifetime")
        killed = kill_when(lambda: _changed(state), made, state, *asked)
        assert services.read_settings(made.facts)["AUTH_JWT_EXPIRY"] == "86400"
        must_apply(made, state, "undo", killed)
        assert case.differences(before, case.picture(made), undone=True) == []


def test_what_a_killed_restore_left_beside_is_dropped(tmp_path: Path) -> None:
    parts = cases.find("cleaning", "database-restore").parts
    with stack.running(stack.Options(scale=0.2, parts=parts, system="cleaning")) as made:
        case, before = _broken(made, "database-restore", "look-first")
        asked = ("cleaning", "database-restore", "--mitigation", "restore-beside")
        killed = kill_when(lambda: made.server().execute(_WHOLE), made, tmp_path, *asked, everything=True)
        assert made.server().execute(_WHOLE)
        must_apply(made, tmp_path, "undo", killed)
        assert case.differences(before, case.picture(made)) == []


def test_what_a_killed_backup_uploaded_is_proved_by_who_goes_on(tmp_path: Path) -> None:
    parts = cases.find("cleaning", "backup-stale").parts
    with stack.running(stack.Options(scale=0.2, parts=parts, system="cleaning")) as made:
        _broken(made, "backup-stale", "nights-missed")
        there = set(outside_backups.keys(made))
        asked = ("cleaning", "backup-stale", "--mitigation", "take-backup")
        killed = kill_when(
            lambda: set(outside_backups.keys(made)) - there, made, tmp_path, *asked, everything=True
        )
        (left,) = set(outside_backups.keys(made)) - there
        must_apply(made, tmp_path, "resume", killed)
        assert set(outside_backups.keys(made)) - there == {left, left + _SEAL}
        assert outside_backups.problem(made) == ""
        must_apply(made, tmp_path, "undo", max(folder.name for folder in tmp_path.glob("runs/*")))
        assert set(outside_backups.keys(made)) == there


def _changed(state: Path) -> str:
    """Return the run whose record says that it changed something, "" while there is none."""
    for folder in state.glob("runs/*"):
        events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()[:-1]]
        applied = any(e["type"] == "run.started" and not e["data"]["check_mode"] for e in events)
        if applied and any(e["type"] == "step.finished" and e["data"]["status"] == "changed" for e in events):
            return folder.name
    return ""
