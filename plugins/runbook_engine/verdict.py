# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what happened in a run to its one exit: a code, a name, a reason and the next step."""

from __future__ import annotations

from typing import Any

from runbook_engine import next_steps
from runbook_engine.changes import BAD, changing_steps, left_changed

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


def exit_of(name: str, reason: str, next_step: str) -> dict[str, Any]:
    """Return the exit called `name`."""
    return {"code": CODES[name], "name": name, "reason": reason, "next_step": next_step}


def decide(result: dict[str, Any]) -> dict[str, Any]:
    """Return the exit of a run, from its reduced result. The first rule that applies decides."""
    decided = _decided(result)
    left = "; ".join(f"{k['host']}: {k.get('problem') or ', '.join(k['left'])}" for k in result["leftovers"])
    if left:
        decided["reason"] += f" Processes of it may still run on {left}."
    return decided


def _decided(result: dict[str, Any]) -> dict[str, Any]:
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


def _refused(result: dict[str, Any]) -> dict[str, Any] | None:
    refusal = result["refusal"]
    if refusal is None:
        return None
    if left_changed(result):
        # In the middle of the run, such as when its lock is lost.
        return exit_of("failed", f"{refusal['reason']} A change is in place.", next_steps.go_on(result))
    names = {"usage": "usage", "lock": "lock_held", "unreachable": "unreachable"}
    name = names.get(refusal["kind"], "refused")
    return exit_of(name, refusal["reason"], refusal["next_step"])


def _undecided_change(result: dict[str, Any]) -> dict[str, Any] | None:
    """A changing step ran without a gate that let it through: never green, whatever came of it."""
    ungated = [s for s in left_changed(result) if not (result["gate"] or {}).get("passed")]
    if not ungated:
        return None
    return exit_of(
        "failed", f"{_name(ungated[0])} changed something that no gate let through.", next_steps.undo(result)
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
    return exit_of("failed", reason, next_steps.go_on(result))


def _cut_short(result: dict[str, Any]) -> dict[str, Any] | None:
    if result["ended"] == "finished":
        return None
    what, lost = _how_cut(result), (result["lock"] or {}).get("lost")
    left = left_changed(result)
    doubt = [s for s in left if s["status"] == "started"]
    if doubt:
        reason = f"The run {what} in {_name(doubt[0])}; its change may be in place, whole or in part."
        return exit_of("failed", reason, next_steps.go_on(result))
    if left:
        return exit_of("failed", f"The run {what}; a change is in place.", next_steps.go_on(result))
    if lost:
        return exit_of("lock_held", f"The run {what}; nothing was changed.", "look who holds the lock")
    return exit_of("aborted", f"The run {what}; nothing was changed.", next_steps.again(result))


def _how_cut(result: dict[str, Any]) -> str:
    lost = (result["lock"] or {}).get("lost")
    if lost:
        return f"was stopped before its next change, because its lock was lost ({lost})"
    if result.get("stop_reason"):
        return f"was stopped ({result['stop_reason']})"
    words = {
        "running": "has not ended, or was killed",
        "interrupted": "was interrupted",
        "killed": "was killed",
    }
    return words.get(result["ended"], "could not go on")


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
        return exit_of(name, reason, next_steps.undo(result))
    return exit_of("unreachable", reason, "bring the connection to the host back, then start again")


def _verify_failed(result: dict[str, Any]) -> dict[str, Any] | None:
    if result["verification"]["status"] != "failed":
        return None
    return exit_of("verification_failed", result["verification"]["reason"], next_steps.undo(result))


def _plan(result: dict[str, Any]) -> dict[str, Any]:
    steps = changing_steps(result)
    if any(s["changed"] for s in steps):
        return exit_of("planned", "The plan has changes; nothing was changed yet.", next_steps.apply(result))
    if result["resumed"]:
        reason = (
            f"Run {result['resumes']} changed all there is to change; to verify that and to close is left."
        )
        return exit_of("planned", reason, next_steps.apply(result))
    if result["undo"] and _found_undone(result):
        return exit_of(
            "nothing_to_do", f"The changes of run {result['undo']} are not in place any more.", "none"
        )
    if not steps:
        return exit_of(
            "nothing_ran", "The plan is empty: no step of the mitigation would run.", "look at the gate"
        )
    said = [str((s.get("prediction") or {}).get("summary") or "") for s in steps]
    why = "; ".join(dict.fromkeys(text for text in said if text))
    reason = f"The mitigation would change nothing{': ' if why else ''}{why}"
    return exit_of("nothing_to_do", f"{reason}.", "none")


def _found_undone(result: dict[str, Any]) -> bool:
    """Whether a host said that what was to be taken back is not (or no longer) there."""
    return any(told["state"] in ("undone", "not_done") for told in result["reconciled"])


def _applied(result: dict[str, Any]) -> dict[str, Any]:
    steps = changing_steps(result)
    what = "The undo" if result["mode"] == "undo" else f"The mitigation {result['mitigation']}"
    before = bool(result["resumed"]) or _found_done(result, steps)
    changed = before or any(s["changed"] for s in steps)
    if result["mode"] == "undo" and not changed and _found_undone(result):
        reason = f"The changes of run {result['undo']} are not in place any more."
        return exit_of("undone", reason, next_steps.measure(result))
    if not steps and not changed:
        return exit_of(
            "nothing_ran", f"{what} was let through, but none of its steps ran.", "look at the steps"
        )
    if not changed:
        return exit_of("nothing_changed", f"{what} ran and changed nothing.", "look at the findings again")
    if result["mode"] == "undo":
        return _undone(result)
    if result["verification"]["status"] != "passed":
        return exit_of("not_verified", result["verification"]["reason"], next_steps.undo(result))
    whole = f", with what run {result['resumes']} had done," if before else ""
    return exit_of("verified", f"{what}{whole} was applied and verified.", "none")


def _found_done(result: dict[str, Any], steps: list[dict[str, Any]]) -> bool:
    """Whether a step whose end was never seen in the run that this one resumes had nothing left to change."""
    again = ((result["gate"] or {}).get("resume") or {}).get("again") or ()
    doubted = {(told["name"], told["host"]) for told in again}
    return any((s["name"], s["host"]) in doubted and s["status"] == "ok" for s in steps)


def _undone(result: dict[str, Any]) -> dict[str, Any]:
    if not result["undone_elsewhere"]:
        return exit_of(
            "not_verified", "The undo ran, but no recorded change was taken back.", "look at the steps"
        )
    kept = (result["plan"] or {}).get("kept") or []
    if kept:
        stays = ", ".join(f"{k['name']!r} on {k['host']} ({k['why']})" for k in kept)
        count = len(result["undone_elsewhere"])
        reason = f"{count} changes of run {result['undo']} were taken back; still in place: {stays}."
        return exit_of("undone", reason, next_steps.measure(result))
    return exit_of(
        "undone", f"The changes of run {result['undo']} were taken back.", next_steps.measure(result)
    )


def _diagnosed(result: dict[str, Any]) -> dict[str, Any]:
    findings = result["findings"]
    if result["mitigation"] or result["undo"]:
        return exit_of("nothing_ran", "The run ended before its gate.", "look at the steps")
    if not findings:
        return exit_of("nothing_measured", "Nothing was measured, so nothing is known.", "look at the steps")
    called = [r["runbook"] for r in (result["recommendation"] or {}).get("runbooks") or []]
    broken = [s for s in result["steps"] if s["status"] == "ignored"]
    if broken:
        next_step = next_steps.diagnose(result, called[0]) if called else "look at the steps"
        others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        said = broken[0].get("msg") or "it failed"
        reason = f"{_name(broken[0])}{others} could not be measured: {said}"
        return exit_of("findings_remain", reason, next_step)
    bad = [f for f in findings if f["status"] != "ok"]
    if not bad:
        return exit_of("healthy", f"All {len(findings)} findings are ok.", "none")
    advised = (result["recommendation"] or {}).get("advised") or []
    names = ", ".join(m["name"] for m in advised)
    first = min(bad, key=lambda f: ("fail", "unknown", "warn").index(f["status"]))
    next_step = (
        f"plan the first of the recommended mitigations: {names}"
        if names
        else next_steps.diagnose(result, called[0])
        if called
        else f"look at each finding that is not ok, first: {first['check']}"
    )
    return exit_of("findings_remain", f"{len(bad)} of {len(findings)} findings are not ok.", next_step)


def _name(step: dict[str, Any]) -> str:
    return f"{step['name']!r} on {step['host']}"
