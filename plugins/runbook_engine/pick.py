# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a task's result goes into the record: a list of known keys, never the arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runbook_engine.plain import plain

PHASES = ("engine", "diagnose", "recommend", "mitigate", "verify")
EFFECTS = ("irreversible", "change")
_FORMALITIES = ("include_role", "include_tasks", "set_fact", "validate_argument_spec")
_SPEC = re.compile(r"^Validating arguments against arg spec '[^']*'(?: - )?(.*)$", re.DOTALL)
_LISTS = ("findings", "evidence")
_VALUES = ("prediction", "data_loss", "duration_s", "left_unchanged")


def phase_of(tags: Iterable[str]) -> str:
    """Return the phase that a task's tags name, the engine's own first; "" when none."""
    given = set(tags)
    return next((p for p in PHASES if p in given), "")


def effect_of(tags: Iterable[str]) -> str:
    """Return the effect that a task's tags name, the worse first; `read` when none."""
    given = set(tags)
    return next((e for e in EFFECTS if e in given), "read")


def step_name(name: Any) -> str:
    """Return a task's name for a reader; the check of a role's arguments says what the role does."""
    return _SPEC.sub(r"Check the options: \1", str(name))


def is_formality(action: str) -> bool:
    """Whether a step only leads to others: it calls a role, notes a fact, or checks a role's arguments."""
    return action.rpartition(".")[2] in _FORMALITIES


def picked(result: Mapping[str, Any], host: str, failed: bool = False) -> dict[str, Any]:
    """Return what the record keeps of a task's result on `host`, of a loop's items together.

    `failed`: the task failed or lost its host (Ansible removes that mark from what a callback sees).
    """
    if result.get("censored") is not None or result.get("_ansible_no_log"):
        return {"no_log": True}
    items = [result, *(r for r in _list(result.get("results")) if isinstance(r, Mapping))]
    kept: dict[str, Any] = {}
    for item in items:
        _pick_lists(kept, item, host)
        _pick_values(kept, item)
    if failed:
        kept |= _pick_failure(items)
    return kept


def _pick_lists(kept: dict[str, Any], item: Mapping[str, Any], host: str) -> None:
    for key in _LISTS:
        found = [dict(plain(e)) for e in _list(item.get(key)) if isinstance(e, Mapping)]
        if found:
            kept.setdefault(key, []).extend(found)
    for finding in kept.get("findings", ()):
        finding["host"] = finding.get("host") or host
    undo = item.get("undo")
    if isinstance(undo, Mapping) and undo:
        kept.setdefault("undo", []).append(plain(undo))
    diffs = [d for d in (_list(item.get("diff")) or [item.get("diff")]) if isinstance(d, Mapping) and d]
    if diffs:
        kept.setdefault("diff", []).extend(_diff(d) for d in diffs)


def _diff(diff: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("before", "after", "before_header", "after_header", "prepared")
    return {key: plain(diff[key]) for key in keys if key in diff}


def _pick_values(kept: dict[str, Any], item: Mapping[str, Any]) -> None:
    for key in _VALUES:
        if item.get(key) is not None:
            # The module's own measure of its work, beside the step's wall time.
            kept["work_s" if key == "duration_s" else key] = plain(item[key])


def _pick_failure(items: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The message of the first item that failed: a loop's own message only says that one did."""
    failed = [i for i in items[1:] if i.get("failed") or i.get("unreachable")] or items[:1]
    kept = {"msg": plain(failed[0].get("msg") or "no message")}
    error = failed[0].get("error")
    if isinstance(error, Mapping):
        kept["error"] = plain(error)
    return kept


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
