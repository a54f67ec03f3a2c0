"""Predicted = applied: what counts as the same, and what is told of a difference."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal.fidelity import compare

PLANNED, APPLIED = "20261121t064300z-7f3a9c", "20261121t064310z-000001"


def _result(run: str, *steps: dict[str, Any], ended: str = "verified") -> dict[str, Any]:
    made = [
        {"phase": "mitigate", "effect": "change", "action": "restart", "host": "h", "name": "Restart",
         "status": "changed", "changed": True, "diff": [{"before": "stopped\n", "after": "running\n"}],
         **step}
        for step in steps
    ]  # fmt: skip
    return {"run": run, "steps": made, "exit": {"name": ended}}


def _compare(plan: dict[str, Any], applied: dict[str, Any], ended: str = "verified") -> list[str]:
    return compare(_result(PLANNED, plan), _result(APPLIED, applied, ended=ended)).mismatches


def test_the_same_change_matches_and_is_counted_for_its_module() -> None:
    found = compare(_result(PLANNED, {}, {"host": "i"}), _result(APPLIED, {}, {"host": "i"}))
    assert (found.compared, found.matched, found.mismatches) == (2, 2, [])
    assert found.by_action == {"restart": [2, 2]}


def test_names_made_of_the_run_and_measured_numbers_are_no_difference() -> None:
    told = {"diff": [{"after": f"db_{PLANNED.replace('-', '_')} 54.2 MiB, 3,202 revoked\n"}]}
    seen = {"diff": [{"after": f"db_{APPLIED.replace('-', '_')} 54.9 MiB, 3,204 revoked\n"}]}
    assert _compare(told, seen) == []


def test_another_diff_a_change_untold_and_a_change_that_never_came_are_told() -> None:
    (said,) = _compare({}, {"diff": [{"before": "stopped\n", "after": "frozen\n"}]})
    assert said == "Restart (h): its diff (after) said 'running', and it is 'frozen'"
    assert "a change was predicted" in _compare({}, {"status": "ok", "changed": False})[0]
    assert "no change was predicted" in _compare({"status": "ok", "changed": False}, {})[0]
    assert "no plan told of" in _compare({"name": "Other", "status": "ok", "changed": False}, {})[0]
    assert "never ran" in _compare({}, {"name": "Other", "status": "ok", "changed": False})[0]
    assert (
        "1 differences were predicted, 2 came" in _compare({}, {"diff": [{"after": "a"}, {"after": "b"}]})[0]
    )


def test_a_step_that_failed_and_what_would_have_followed_are_not_compared() -> None:
    plan = _result(PLANNED, {}, {"name": "Next"})
    applied = _result(APPLIED, {"status": "failed", "changed": False}, ended="failed")
    assert compare(plan, applied).compared == 0


def test_reading_steps_do_not_count() -> None:
    plan, applied = _result(PLANNED, {"effect": "read"}), _result(APPLIED, {"effect": "read", "diff": []})
    assert compare(plan, applied).compared == 0


def test_a_way_back_that_was_predicted_and_is_none_is_told() -> None:
    back, none = {"undo": [{"reversible": True}]}, {"undo": [{"reversible": False}]}
    assert _compare(back, none) == ["Restart (h): a way back was predicted, and there is none"]
    assert _compare(none, none) == _compare(back, back) == _compare(back, {}) == []
