"""A restore that is killed before any of its tasks, whichever: nothing is left, and there is a way on."""

from __future__ import annotations

import json

import pytest
from runbook_engine import record

from runbook.rehearsal.postgres_server import available_binaries

from .barn import Barn, until

pytestmark = pytest.mark.slow
ROWS = 40000


# Which PostgreSQL it is makes no difference between two steps. In parts, so that they can run side by side.
@pytest.mark.parametrize("postgres_binaries", available_binaries()[:1], indirect=True, ids=lambda b: b.label)
@pytest.mark.parametrize(
    "part",
    [range(1, 20), range(20, 28), range(28, 36), range(36, 99)],
    ids=["until the lock", "with the lock", "around the change", "to the end"],
)
def test_a_restore_that_is_killed_at_any_boundary_leaves_nothing_and_can_go_on(
    barn: Barn, part: range
) -> None:
    before: list[str] = []
    for number in part:
        code = barn.play("mitigation=restore", "confirm=roost", strike=f"SIGKILL at {number}")
        if code != -9:
            break
        before.append(_last_begun(barn))
        _nothing_is_left(barn)
        _goes_on(barn)
        barn.damage()
    if part.stop == 99:
        assert 0 < len(before) < len(part), before
        assert code == 0
    else:
        assert len(before) == len(part)


def _last_begun(barn: Barn) -> str:
    """What the task before the boundary is called."""
    events = [json.loads(line) for line in barn.newest().events.read_text().splitlines()]
    return next((e["data"]["name"] for e in reversed(events) if e["type"] == "step.started"), "")


def _nothing_is_left(barn: Barn) -> None:
    # The master of SSH's shared connections is the user's: it ends when it was idle for a minute.
    until(lambda: all("[mux]" in left for left in barn.processes()) and barn.sessions() == 0, 45)
    until(barn.is_unlocked, 45)
    assert not [name for name in barn.databases() if "_restore_" in name]


def _goes_on(barn: Barn) -> None:
    """By a resume once the gate had let it through, else from the start; the verdict is what is there."""
    killed, restored = record.settled(barn.newest()), barn.users() == ROWS
    assert killed["ended"] == "killed"
    assert killed["exit"]["code"] == (21 if restored else 5), killed["exit"]
    code = barn.play("mitigation=restore", "confirm=roost", f"resume={killed['run']}", strike="")
    resumed = record.settled(barn.newest())
    if killed["mode"] == "apply":
        assert (code, resumed["exit"]["name"]) == (0, "verified"), resumed["exit"]
        done = [s for s in resumed["steps"] if s["effect"] == "change" and s["status"] == "changed"]
        assert len(done) == (0 if restored else 1)
        assert barn.users() == ROWS
    else:
        assert resumed["exit"]["name"] == "refused", resumed["exit"]
        assert resumed["exit"]["next_step"].startswith("start anew: ")
        assert barn.users() == 0
