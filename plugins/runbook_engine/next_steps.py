# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do after a run, in the words of its door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_engine import commands, doors
from runbook_engine.changes import left_changed


def _is_wrapper(result: Mapping[str, Any]) -> bool:
    """Whether the command `runbook` was the door: then the next step is said in its words."""
    return bool(result["door"] == doors.WRAPPER)


def apply(result: dict[str, Any]) -> str:
    """How the plan of a run is applied."""
    if not _is_wrapper(result):
        confirm = doors.option(result["door"], "confirm", result["system"] or "<system>")
        return f"apply it: the same without --check, with {confirm}"
    if result["undo"]:
        return f"apply it: {commands.undo(result, result['undo'], step=result['undo_step'])}"
    if result["resumes"]:
        return f"apply it: {commands.resume(result, result['resumes'], apply=True)}"
    return f"apply it: {commands.mitigate(result, result['mitigation'], apply=True)}"


def again(result: dict[str, Any]) -> str:
    """How a run that changed nothing is started again."""
    if not _is_wrapper(result) or not result["system"]:
        return "start again"
    sure = not result["check_mode"]
    if result["undo"]:
        return f"start again: {commands.undo(result, result['undo'], apply=sure, step=result['undo_step'])}"
    if result["mitigation"]:
        return f"start again: {commands.mitigate(result, result['mitigation'], apply=sure)}"
    return f"start again: {commands.measure(result)}"


def go_on(result: dict[str, Any]) -> str:
    """Of a run that was stopped in the middle: go on, or take it back."""
    if result["mode"] == "undo":
        return f"go on: {_undo_of(result, result['undo'])}"
    if result["mode"] != "apply":
        return undo(result)
    if _is_wrapper(result):
        on = commands.resume(result, result["run"], apply=True)
    else:
        on = f"the same again with {doors.option(result['door'], 'resume', result['run'])}"
    back = f"; or {undo(result)}" if _may_be_undone(result) else ""
    return f"go on: {on}{back}"


def measure(result: dict[str, Any]) -> str:
    """How the system is measured again."""
    again = commands.measure(result) if _is_wrapper(result) else "the same command without undo and confirm"
    return f"measure again: {again}"


def diagnose(result: dict[str, Any], runbook: str) -> str:
    """How the runbook is run that a triage names first."""
    if _is_wrapper(result):
        return f"diagnose by the first of the runbooks named: {commands.diagnose(result, runbook)}"
    return f"diagnose by the first of the runbooks named: playbooks/{runbook.replace('-', '_')}.yml"


def _may_be_undone(result: dict[str, Any]) -> bool:
    """Whether an undo is recorded, or can be found out by asking the host."""
    return any(s.get("undo") or (s.get("intent") or {}).get("ask") for s in left_changed(result))


def undo(result: dict[str, Any]) -> str:
    """How what a run left in place is taken back."""
    if _may_be_undone(result):
        return f"take it back: {_undo_of(result, result['run'])}"
    return "look at the steps; no recorded undo takes this back"


def _undo_of(result: dict[str, Any], run: str) -> str:
    if _is_wrapper(result):
        return commands.undo(result, run)
    given = {"undo": run, "confirm": result["system"] or "<system>"}
    return " ".join(doors.option(result["door"], name, value) for name, value in given.items())
