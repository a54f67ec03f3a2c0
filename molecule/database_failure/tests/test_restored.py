"""What the restored system is, seen from outside: by SQL of our own and by the processes of the host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal import outside
from runbook.rehearsal.stack import Stack


@pytest.fixture
def stack() -> Stack:
    return Stack(Path(os.environ["REHEARSAL_STACK"]))


def test_the_services_are_served(stack: Stack) -> None:
    assert outside.service_error(stack) == ""


def test_the_database_is_what_the_backup_held(stack: Stack) -> None:
    before = outside.load_picture(stack.path.with_name("before.json"))
    assert outside.restored_problems(stack, before) == []


def test_the_server_still_listens_where_it_did(host: Any, stack: Stack) -> None:
    facts = stack.facts["postgres"]
    assert host.file(f"{facts['data_dir']}/postmaster.pid").exists
    assert host.addr("127.0.0.1").port(facts["port"]).is_reachable


def test_no_session_of_the_run_is_left(stack: Stack) -> None:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'oncall-%'"
    assert stack.server().execute(sql) == [(0,)]


def test_the_record_is_what_it_is_at_every_door() -> None:
    (kept,) = Path(os.environ["RUNBOOK_STATE"]).glob("runs/*/result.json")
    result = json.loads(kept.read_text())
    assert result["door"] == "molecule"
    assert result["options"] == ["confirm", "mitigation"]
    assert result["exit"]["name"] == "verified"
