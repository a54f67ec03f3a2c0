"""Predicted = applied: what a plan said of each changing step, held against what the step then did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_engine import lineage
from runbook_engine.plan_digest import comparable

from runbook.rehearsal.score import Match

_ENDED = ("ok", "changed")


def compare(plan: Mapping[str, Any], applied: Mapping[str, Any]) -> Match:
    """Return how far the results of a plan and of its apply agree, step by step.

    Of a step: whether it changes something, whether it can be taken back, and its diff, without the run's own
    names and measured numbers.
    A step that failed is not compared: it did not do what it had predicted, and says so itself.
    """
    predicted, done = _ended(plan), _ended(applied)
    by_action: dict[str, list[int]] = {}
    mismatches: list[str] = []
    whole = applied["exit"]["name"] == "verified"
    for identity in dict.fromkeys([*predicted, *done]):
        before, after = predicted.get(identity), done.get(identity)
        if after is None and not whole:
            continue
        problem = _problem(before, after, plan["run"], applied["run"])
        counted = by_action.setdefault(identity[1], [0, 0])
        counted[0] += 1
        counted[1] += not problem
        mismatches += [f"{identity[0]} ({identity[2]}): {problem}"] if problem else []
    compared = sum(count for count, _ in by_action.values())
    return Match(compared, compared - len(mismatches), mismatches, by_action)


def _ended(result: Mapping[str, Any]) -> dict[lineage.Identity, dict[str, Any]]:
    return {identity: step for identity, step in lineage.identified(result) if step["status"] in _ENDED}


def _problem(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, planned: str, applied: str
) -> str:
    if before is None:
        return "" if after and not after["changed"] else "it changed something that no plan told of"
    if after is None:
        return "it was planned and never ran" if before["changed"] else ""
    if before["changed"] != after["changed"]:
        word = "a change" if before["changed"] else "no change"
        return f"{word} was predicted, and it came otherwise"
    if _has_way_back(before) and after.get("undo") and not _has_way_back(after):
        return "a way back was predicted, and there is none"
    told, seen = (
        [comparable(diff, run) for diff in step.get("diff") or ()]
        for step, run in ((before, planned), (after, applied))
    )
    return "" if told == seen else _differs(told, seen)


def _has_way_back(step: Mapping[str, Any]) -> bool:
    return any(undo.get("reversible", True) for undo in step.get("undo") or ())


def _differs(told: list[dict[str, str]], seen: list[dict[str, str]]) -> str:
    if len(told) != len(seen):
        return f"{len(told)} differences were predicted, {len(seen)} came"
    for one, other in zip(told, seen, strict=True):
        for key in sorted(one.keys() | other.keys()):
            lines = (one.get(key, "").splitlines(), other.get(key, "").splitlines())
            extra = [line for line in lines[0] if line not in lines[1]]
            new = [line for line in lines[1] if line not in lines[0]]
            if extra or new:
                return f"its diff ({key}) said {_first(extra)}, and it is {_first(new)}"
    return "its diff has another order"


def _first(lines: list[str]) -> str:
    return repr(lines[0].strip()[:120]) if lines else "nothing of it"
