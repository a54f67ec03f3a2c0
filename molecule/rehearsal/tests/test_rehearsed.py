"""What is seen from outside behind a rehearsal, and what it wrote down."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal import cases
from runbook.rehearsal.stack import Stack


@pytest.fixture
def stack() -> Stack:
    return Stack(Path(os.environ["REHEARSAL_STACK"]))


@pytest.fixture
def score() -> dict[str, Any]:
    (kept,) = Path(os.environ["RUNBOOK_STATE"]).glob("rehearsals/*/rehearsal.json")
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def test_it_was_proved(score: dict[str, Any]) -> None:
    assert score["passed"], score["stages"]
    assert score["content"]


def test_whoever_uses_the_system_is_served(stack: Stack, score: dict[str, Any]) -> None:
    problem = cases.find(score["system"], score["runbook"])().problem_outside(stack)
    # Where no mitigation is right, or it was taken back, the fault is still there.
    stays = not score["mitigation"] or score["undone"] is True
    assert bool(problem) == stays, problem


def test_the_database_listens_where_it_did(host: Any, stack: Stack) -> None:
    facts = stack.facts["postgres"]
    assert host.addr("127.0.0.1").port(facts["port"]).is_reachable


def test_no_session_of_a_run_is_left(stack: Stack) -> None:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'oncall-%'"
    assert stack.server().execute(sql) == [(0,)]
