"""stream-outage, rehearsed: proved, and able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehearsing import must_fail_after, must_pass, sabotaged

from runbook.rehearsal.cases.roost.stream_outage import StreamOutage

RUNBOOK = StreamOutage.runbook


@pytest.mark.slow
def test_a_relay_that_is_gone_is_found_and_brought_back(tmp_path: Path) -> None:
    must_pass(RUNBOOK, tmp_path, StreamOutage.default)


@pytest.mark.slow
def test_where_nothing_is_broken_nothing_is_found(tmp_path: Path) -> None:
    assert must_pass(RUNBOOK, tmp_path, StreamOutage.default, "--control")[1] == "control"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "reached"),
    [
        # A restart that restarts nothing.
        ("tasks_from: restart\n", "tasks_from: status\n", "recommend"),
        # A diagnosis whose findings nobody looks at.
        ("observed.part == 'stream' && status == 'fail'", "observed.part == 'nothing'", "diagnose"),
    ],
    ids=["restarts nothing", "recommends nothing"],
)
def test_a_sabotaged_runbook_is_caught(tmp_path: Path, old: str, new: str, reached: str) -> None:
    project = sabotaged(tmp_path, "stream_outage.yml", old, new)
    must_fail_after(reached, RUNBOOK, tmp_path / "state", project)
