"""redis-down, rehearsed: proved on a real server, and able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehearsing import must_fail_after, must_pass, sabotaged

from runbook.rehearsal.cases.cleaning.redis_down import RedisDown

pytestmark = pytest.mark.slow
RUNBOOK = RedisDown.runbook


def test_where_nothing_is_broken_nothing_is_found(tmp_path: Path) -> None:
    stages = must_pass(RUNBOOK, tmp_path, RedisDown.default, "--control", system="cleaning")
    assert stages[1] == "control"


@pytest.mark.parametrize(
    ("old", "new", "reached"),
    [
        # A mitigation that only looks.
        ("tasks_from: configure\n", "tasks_from: status\n", "recommend"),
        # A diagnosis whose findings nobody looks at.
        (
            "check == 'redis_memory' && status == 'fail' && observed.raise_to > `0`",
            "check == 'nothing'",
            "diagnose",
        ),
    ],
    ids=["changes nothing", "recommends nothing"],
)
def test_a_sabotaged_runbook_is_caught(tmp_path: Path, old: str, new: str, reached: str) -> None:
    project = sabotaged(tmp_path, "redis_down.yml", old, new)
    must_fail_after(reached, RUNBOOK, tmp_path / "state", project, system="cleaning")
