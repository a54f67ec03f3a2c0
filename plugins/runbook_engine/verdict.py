# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what happened in a run to its one exit: a code, a name, a reason and the next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_engine import commands

CODES = {
    "healthy": 0,
    "verified": 0,
    "undone": 0,
    "nothing_to_do": 0,
    "findings_remain": 1,
    "usage": 2,
    "planned": 3,
    "refused": 4,
    "aborted": 5,
    "lock_held": 7,
    "unreachable": 8,
    "verification_failed": 9,
    "not_verified": 9,
    "nothing_ran": 9,
    "nothing_changed": 9,
    "nothing_measured": 9,
    "failed_undone": 20,
    "failed": 21,
}
"""Every name an exit can have, and its code. Names may be added; a name never changes its code."""

CHANGING = ("change", "irreversible")
RAN = ("ok", "changed")
BAD = ("failed", "rescued")


def exit_of(name: str, reason: str, next_step: str) -> dict[str, Any]:
    """Return the exit called `name`."""
    return {"code": CODES[name], "name": name, "reason": reason, "next_step": next_step}


def decide(result: dict[str, Any]) -> dict[str, Any]:
    """Return the exit of a run, from its reduced result. The first rule that applies decides."""
    for rule in (_refused, _undecided_change, _failed, _cut_short, _unreachable, _verify_failed):
        found = rule(result)
        if found is not None:
            return found
    mode = result["mode"]
    if mode == "plan":
        return _plan(result)
    if mode in ("apply", "undo"):
        return _applied(result)
    return _diagnosed(result)


def changing_steps(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that change something and were not skipped."""
    return [
        s
        for s in result["steps"]
        if s["phase"] == "mitigate" and s["effect"] in CHANGING and s["status"] != "skipped"
    ]


def left_changed(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps whose change is, or may be, still in place."""
    if result["check_mode"]:
        return []
    undone = set(result["undone"])
    return [s for s in changing_steps(result) if _may_have_changed(s) and s["id"] not in undone]


def _may_have_changed(step: dict[str, Any]) -> bool:
    if step["status"] == "changed":
        return True
    # A changing step that failed, was cut off or lost its host proves nothing, unless the module says so.
    return step["status"] in (*BAD, "ignored", "unreachable", "started") and not step.get(
        "left_unchanged", False
    )


def _refused(result: dict[str, Any]) -> dict[str, Any] | None:
    refusal = result["refusal"]
    if refusal is None:
        return None
    names = {"usage": "usage", "lock": "lock_held", "unreachable": "unreachable"}
    name = names.get(refusal["kind"], "refused")
    return exit_of(name, refusal["reason"], refusal["next_step"])


def _undecided_change(result: dict[str, Any]) -> dict[str, Any] | None:
    """A changing step ran without a gate that let it through: never green, whatever came of it."""
    ungated = [s for s in left_changed(result) if not (result["gate"] or {}).get("passed")]
    if not ungated:
        return None
    return exit_of(
        "failed", f"{_name(ungated[0])} changed something that no gate let through.", _undo_hint(result)
    )


def _failed(result: dict[str, Any]) -> dict[str, Any] | None:
    bad = [s for s in result["steps"] if s["status"] in BAD and s["phase"] != "verify"]
    if not bad:
        return None
    said = bad[0].get("msg") or "it failed"
    reason = f"{_name(bad[0])}: {said}"
    if result["check_mode"] or not left_changed(result):
        nothing = "nothing was changed" if not result["undone"] else "the changes of this run were taken back"
        return exit_of("failed_undone", reason, f"{nothing}; remove the cause and start again")
    return exit_of("failed", reason, _undo_hint(result))


def _cut_short(result: dict[str, Any]) -> dict[str, Any] | None:
    if result["ended"] == "finished":
        return None
    what = {
        "running": "has not ended, or was killed",
        "interrupted": "was interrupted",
        "killed": "was killed",
    }.get(result["ended"], "could not go on")
    lost = (result["lock"] or {}).get("lost")
    if lost:
        what = f"was stopped before its next change, because its lock was lost ({lost})"
    left = left_changed(result)
    if left and all(s["status"] == "started" for s in left):
        reason = f"The run {what} in {_name(left[0])}; its change may be in place, whole or in part."
        again = "diagnose again; then plan the same again, it goes on where it can"
        if _is_wrapper(result):
            again = f"{_measure_hint(result)}; then plan the same again, it goes on where it can"
        return exit_of("failed", reason, again)
    if left:
        return exit_of("failed", f"The run {what}; a change is in place.", _undo_hint(result))
    if lost:
        return exit_of("lock_held", f"The run {what}; nothing was changed.", "look who holds the lock")
    return exit_of("aborted", f"The run {what}; nothing was changed.", _again_hint(result))


def _unreachable(result: dict[str, Any]) -> dict[str, Any] | None:
    lost = [s for s in result["steps"] if s["status"] == "unreachable"]
    if not lost:
        return None
    reason = (
        f"{lost[0]['host']} could not be reached in {lost[0]['name']!r}: {lost[0].get('msg', '')}".rstrip(
            ": "
        )
    )
    if left_changed(result):
        name = "verification_failed" if lost[0]["phase"] == "verify" else "failed"
        return exit_of(name, reason, _undo_hint(result))
    return exit_of("unreachable", reason, "bring the connection to the host back, then start again")


def _verify_failed(result: dict[str, Any]) -> dict[str, Any] | None:
    if result["verification"]["status"] != "failed":
        return None
    return exit_of("verification_failed", result["verification"]["reason"], _undo_hint(result))


def _plan(result: dict[str, Any]) -> dict[str, Any]:
    steps = changing_steps(result)
    if not steps:
        return exit_of(
            "nothing_ran", "The plan is empty: no step of the mitigation would run.", "look at the gate"
        )
    if any(s["changed"] for s in steps):
        return exit_of("planned", "The plan has changes; nothing was changed yet.", _apply_hint(result))
    said = [str((s.get("prediction") or {}).get("summary") or "") for s in steps]
    why = "; ".join(dict.fromkeys(text for text in said if text))
    reason = f"The mitigation would change nothing{': ' if why else ''}{why}"
    return exit_of("nothing_to_do", f"{reason}.", "none")


def _applied(result: dict[str, Any]) -> dict[str, Any]:
    steps = changing_steps(result)
    what = "The undo" if result["mode"] == "undo" else f"The mitigation {result['mitigation']}"
    if not steps:
        return exit_of(
            "nothing_ran", f"{what} was let through, but none of its steps ran.", "look at the steps"
        )
    if not any(s["changed"] for s in steps):
        return exit_of("nothing_changed", f"{what} ran and changed nothing.", "look at the findings again")
    if result["mode"] == "undo":
        if not result["undone_elsewhere"]:
            return exit_of(
                "not_verified", "The undo ran, but no recorded change was taken back.", "look at the steps"
            )
        return exit_of(
            "undone", f"The changes of run {result['undo']} were taken back.", _measure_hint(result)
        )
    if result["verification"]["status"] != "passed":
        return exit_of("not_verified", result["verification"]["reason"], _undo_hint(result))
    return exit_of("verified", f"{what} was applied and verified.", "none")


def _diagnosed(result: dict[str, Any]) -> dict[str, Any]:
    findings = result["findings"]
    if result["mitigation"] or result["undo"]:
        return exit_of("nothing_ran", "The run ended before its gate.", "look at the steps")
    if not findings:
        return exit_of("nothing_measured", "Nothing was measured, so nothing is known.", "look at the steps")
    broken = [s for s in result["steps"] if s["status"] == "ignored"]
    if broken:
        return exit_of("findings_remain", f"{_name(broken[0])} could not be measured.", "look at the steps")
    bad = [f for f in findings if f["status"] != "ok"]
    if not bad:
        return exit_of("healthy", f"All {len(findings)} findings are ok.", "none")
    advised = (result["recommendation"] or {}).get("advised") or []
    names = ", ".join(m["name"] for m in advised)
    first = min(bad, key=lambda f: ("fail", "unknown", "warn").index(f["status"]))
    next_step = (
        f"plan the first of the recommended mitigations: {names}"
        if names
        else f"look at each finding that is not ok, first: {first['check']}"
    )
    return exit_of("findings_remain", f"{len(bad)} of {len(findings)} findings are not ok.", next_step)


def _name(step: dict[str, Any]) -> str:
    return f"{step['name']!r} on {step['host']}"


def _is_wrapper(result: Mapping[str, Any]) -> bool:
    """Whether the command `runbook` was the door: then the next step is said in its words."""
    return bool(result["door"] == "runbook")


def _apply_hint(result: dict[str, Any]) -> str:
    if _is_wrapper(result):
        again = (
            commands.undo(result, result["undo"])
            if result["undo"]
            else commands.mitigate(result, result["mitigation"], apply=True)
        )
        return f"apply it: {again}"
    return f"apply it: the same command without --check, with confirm={result['system'] or '<system>'}"


def _again_hint(result: dict[str, Any]) -> str:
    if not _is_wrapper(result) or not result["system"]:
        return "start again"
    if result["undo"]:
        return f"start again: {commands.undo(result, result['undo'], apply=not result['check_mode'])}"
    if result["mitigation"]:
        again = commands.mitigate(result, result["mitigation"], apply=not result["check_mode"])
        return f"start again: {again}"
    return f"start again: {commands.measure(result)}"


def _measure_hint(result: dict[str, Any]) -> str:
    again = commands.measure(result) if _is_wrapper(result) else "the same command without undo and confirm"
    return f"measure again: {again}"


def _undo_hint(result: dict[str, Any]) -> str:
    if any(s.get("undo") for s in left_changed(result)):
        if _is_wrapper(result):
            return f"take it back: {commands.undo(result, result['run'])}"
        return f"take it back: undo={result['run']} confirm={result['system'] or '<system>'}"
    return "look at the steps; no recorded undo takes this back"
