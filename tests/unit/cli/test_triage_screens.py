"""What the command `triage` asks for, and how its answer is shown."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from runbook_engine.errors import UsageError

from runbook.options import parse_args
from runbook.output_result import print_recommendation

CALLED = {
    "runbook": "database-failure",
    "title": "Database failure",
    "severity": "SEV-1",
    "signals": [{"name": "down", "means": "PostgreSQL is down.", "evidence": ["Nobody listens there."]}],
    "explained_by": ["disk-full"],
}


def shown(recommendation: dict[str, Any]) -> str:
    """Return the screen of a recommendation of a run on an overlay."""
    asked = {"inventories": ["/p/inventories/shop", "/p/inventories/rehearsal/shop"]}
    result = {"system": "shop", "recommendation": recommendation, "asked": asked}
    console = Console(file=io.StringIO(), width=80, no_color=True)
    print_recommendation(console, result)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_triage_is_a_run_that_changes_nothing() -> None:
    asked = parse_args(["triage", "shop", "--inventory", "overlay"])
    told = (asked.runbook, asked.system, asked.mitigation, asked.apply, asked.inventory)
    assert told == ("triage", "shop", None, False, ["overlay"])
    with pytest.raises(UsageError, match="does not know '--apply'"):
        parse_args(["triage", "shop", "--apply"])


def test_each_runbook_is_shown_with_why_and_with_its_command() -> None:
    text = shown({"advised": [], "runbooks": [CALLED]})
    assert "1. database-failure: Database failure  (SEV-1)" in text
    assert "Nobody listens there." in text
    assert "disk-full; mend that first" in text
    assert "runbook run shop database-failure --inventory /p/inventories/rehearsal/shop" in text


def test_no_runbook_is_said_and_a_diagnosis_says_nothing_of_runbooks() -> None:
    assert "No runbook of this system fits" in shown({"advised": [], "runbooks": []})
    assert shown({"advised": []}) == ""
