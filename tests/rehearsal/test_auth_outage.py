"""auth-outage, rehearsed: proved, and able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehearsing import must_fail_after, must_pass, sabotaged

from runbook.rehearsal.cases.roost.auth_outage import AuthOutage

RUNBOOK = AuthOutage.runbook

pytestmark = pytest.mark.slow


def test_auth_that_is_gone_is_found_and_brought_back_and_health_is_no_finding(tmp_path: Path) -> None:
    assert must_pass(RUNBOOK, tmp_path, AuthOutage.default, "--control")[1] == "control"


def test_a_runbook_whose_restart_restarts_nothing_is_caught(tmp_path: Path) -> None:
    project = sabotaged(tmp_path, "auth_outage.yml", "tasks_from: restart\n", "tasks_from: status\n")
    must_fail_after("recommend", RUNBOOK, tmp_path / "state", project)
