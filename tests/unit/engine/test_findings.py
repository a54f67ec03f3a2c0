"""Which findings of a run count when a check was measured more than once."""

from __future__ import annotations

from typing import Any

from runbook_engine import reduce


def _step(*findings: dict[str, Any], phase: str = "diagnose") -> dict[str, Any]:
    return {"type": "step.finished", "data": {"phase": phase, "findings": list(findings)}}


def _finding(check: str, status: str, service: str = "") -> dict[str, Any]:
    observed = {"service": service} if service else None
    return {"check": check, "host": "front", "status": status, "observed": observed}


def _found(*steps: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f["check"], f["status"]) for f in reduce.findings_of(list(steps))]


def test_every_service_of_one_step_counts() -> None:
    step = _step(_finding("health", "fail", "relay"), _finding("health", "ok", "auth"))
    assert _found(step) == [("health", "fail"), ("health", "ok")]


def test_several_findings_of_one_check_count_without_a_service_too() -> None:
    assert len(_found(_step(_finding("rejected", "warn"), _finding("rejected", "fail")))) == 2


def test_a_later_step_replaces_what_it_measured_again_and_nothing_else() -> None:
    first = _step(
        _finding("health", "fail", "relay"), _finding("health", "fail", "auth"), _finding("disk", "ok")
    )
    again = _step(_finding("health", "ok", "relay"))
    assert _found(first, again) == [("health", "ok"), ("health", "fail"), ("disk", "ok")]


def test_other_phases_do_not_count() -> None:
    assert _found(_step(_finding("disk", "fail"), phase="verify")) == []
