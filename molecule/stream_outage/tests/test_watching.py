"""What a subscriber sees after the runbook, and the processes of the host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal import outside_services
from runbook.rehearsal.stack import Stack


@pytest.fixture
def stack() -> Stack:
    return Stack(Path(os.environ["REHEARSAL_STACK"]))


def test_a_stream_can_be_watched(stack: Stack) -> None:
    assert outside_services.watch(stack) == ""


def test_relay_runs_and_listens_where_it_did(host: Any, stack: Stack) -> None:
    relay = stack.facts["services"]["relay"]
    assert host.process.get(pid=int(Path(relay["pid_file"]).read_text())).pid
    assert host.addr("127.0.0.1").port(relay["port"]).is_reachable


def test_the_record_is_what_it_is_at_every_door() -> None:
    (kept,) = Path(os.environ["RUNBOOK_STATE"]).glob("runs/*/result.json")
    result = json.loads(kept.read_text())
    assert result["door"] == "molecule"
    assert result["options"] == ["confirm", "mitigation"]
    assert result["exit"]["name"] == "verified"
