"""database-failure, rehearsed: proved, and able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehearsing import must_fail_after, must_pass, rehearse, sabotaged

RUNBOOK = "database-failure"


def test_a_damaged_database_is_found_restored_verified_and_given_back(tmp_path: Path) -> None:
    must_pass(RUNBOOK, tmp_path, "corrupt-tables")


@pytest.mark.slow
def test_what_a_restore_loses_is_counted_and_a_healthy_database_needs_nothing(tmp_path: Path) -> None:
    code, output, score = rehearse(RUNBOOK, tmp_path, "--control")
    assert code == 0, output
    assert score["loss_rows"]
    assert [s["name"].split(":")[0] for s in score["stages"]][1] == "control"


def test_a_runbook_whose_restore_restores_nothing_is_caught(tmp_path: Path) -> None:
    project = sabotaged(tmp_path, "database_failure.yml", "tasks_from: restore\n", "tasks_from: status\n")
    must_fail_after("recommend", RUNBOOK, tmp_path / "state", project)
