"""security-breach, rehearsed: contained as a thief sees it, and the rest stands as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehearsing import must_fail_after, must_pass, sabotaged

from runbook.rehearsal.cases.roost.security_breach import SecurityBreach

RUNBOOK = SecurityBreach.runbook
# Three services are started again and proved, evidence is copied: half a minute each.
pytestmark = pytest.mark.slow


def test_a_breach_is_found_and_contained(tmp_path: Path) -> None:
    must_pass(RUNBOOK, tmp_path, SecurityBreach.default)
    kept = sorted(path.name for path in tmp_path.glob("runs/*/evidence/*"))
    assert "roost-prod-audit-log.csv" in kept
    draft = next(tmp_path.glob("runs/*/evidence/notice-authority.md")).read_text()
    assert "Revoke every active token" in draft
    assert "TO CONFIRM: what was really read" in draft
    assert all(path.stat().st_mode & 0o77 == 0 for path in tmp_path.glob("runs/*/evidence/*"))


def test_where_nothing_happened_nothing_is_found(tmp_path: Path) -> None:
    assert must_pass(RUNBOOK, tmp_path, SecurityBreach.default, "--control")[1] == "control"


@pytest.mark.parametrize(
    ("old", "new", "reached"),
    [
        # Tokens that are counted instead of revoked.
        ("tasks_from: revoke\n", "tasks_from: status\n", "plan"),
        # A secret that is looked at instead of rotated.
        ("tasks_from: rotate\n", "tasks_from: status\n", "apply"),
    ],
    ids=["revokes nothing", "rotates nothing"],
)
def test_a_sabotaged_runbook_is_caught(tmp_path: Path, old: str, new: str, reached: str) -> None:
    project = sabotaged(tmp_path, "security_breach.yml", old, new)
    must_fail_after(reached, RUNBOOK, tmp_path / "state", project)
