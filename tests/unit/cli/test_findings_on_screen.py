"""How many of the findings a screen shows."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from runbook_engine import reduce

from runbook import output_result


@pytest.fixture(autouse=True)
def no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands below the findings is not what is looked at."""
    monkeypatch.setattr(output_result, "print_plan", lambda _console, _result: None)


def _finding(check: str, status: str) -> dict[str, str]:
    return {"check": check, "status": status, "host": "barn", "summary": f"{check} it is"}


def _screen(**options: bool) -> str:
    found = [_finding("hinge", "fail"), _finding("roof", "ok"), _finding("door", "ok")]
    result: dict[str, Any] = reduce._blank() | {
        "run": "20260101t000000z-abcdef", "mode": "diagnose", "findings": found,
        "verification": {"status": "not_run", "reason": "", "findings": []},
    }  # fmt: skip
    if options.pop("planned"):
        result |= {"mode": "plan", "plan": {}}
    out = io.StringIO()
    output_result.print_result(Console(file=out, width=80), result, verdict=False, **options)
    return out.getvalue()


@pytest.mark.parametrize("options", [{"planned": False}, {"planned": True, "whole": True}])
def test_who_asks_for_the_findings_gets_all(options: dict[str, bool]) -> None:
    screen = _screen(**options)
    assert "hinge it is" in screen
    assert "roof it is" in screen
    assert "door it is" in screen


def test_before_a_plan_what_is_well_is_a_number_and_where_it_stands() -> None:
    screen = " ".join(_screen(planned=True).split())
    assert "hinge it is" in screen
    assert "roof" not in screen
    assert "ok 2 checks are ok (runbook show-run 20260101t000000z-abcdef lists them)" in screen
