"""The verdict of a run that goes on where another one was stopped in the middle of a step."""

from __future__ import annotations

from typing import Any

import pytest
from runbook_engine import reduce, verdict

STOPPED = "20261121t064300z-7f3a9c"


def _result(again: list[dict[str, str]], status: str = "ok", verified: str = "passed") -> dict[str, Any]:
    step = {
        "id": "7@front", "name": "Send traffic", "host": "front", "phase": "mitigate", "effect": "change",
        "status": status, "changed": status == "changed",
    }  # fmt: skip
    return reduce._blank() | {
        "mode": "apply", "mitigation": "failover", "resumes": STOPPED, "ended": "finished", "steps": [step],
        "gate": {"passed": True, "mode": "apply", "resume": {"run": STOPPED, "done": [], "again": again}},
        "verification": {"status": verified, "reason": "not seen"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("again", "verified", "name"),
    [
        # What the stopped run had sent and nobody had recorded is in place: there is nothing left to change.
        ([{"name": "Send traffic", "host": "front"}], "passed", "verified"),
        ([{"name": "Send traffic", "host": "front"}], "not_run", "not_verified"),
        ([{"name": "Send traffic", "host": "back"}], "passed", "nothing_changed"),
        ([], "passed", "nothing_changed"),
    ],
)
def test_a_step_in_doubt_that_has_nothing_left_to_do_counts_as_done(
    again: list[dict[str, str]], verified: str, name: str
) -> None:
    assert verdict.decide(_result(again, verified=verified))["name"] == name


def test_it_says_whose_work_is_in_it() -> None:
    decided = verdict.decide(_result([{"name": "Send traffic", "host": "front"}]))
    assert f"with what run {STOPPED} had done" in decided["reason"]
