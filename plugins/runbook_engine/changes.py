# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which steps of a result changed something, or may have, and still do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHANGING = ("change", "irreversible")
BAD = ("failed", "rescued")


def changing_steps(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that change something and were not skipped."""
    return [
        s
        for s in result["steps"]
        if s["phase"] == "mitigate" and s["effect"] in CHANGING and s["status"] != "skipped"
    ]


def own_changes(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of this run whose change is, or may be, still in place."""
    if result["check_mode"]:
        return []
    undone = set(result["undone"])
    return [s for s in changing_steps(result) if may_have_changed(s) and s["id"] not in undone]


def left_changed(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps whose change is, or may be, still in place, those of a run that is resumed first."""
    if result["check_mode"]:
        return []
    before = [
        {**s, "id": f"{s['run']}/{s['step']}", "status": "changed"} for s in result.get("resumed") or ()
    ]
    return [*before, *own_changes(result)]


def may_have_changed(step: Mapping[str, Any]) -> bool:
    """Whether a changing step left, or may have left, a change in place."""
    if step["status"] == "changed":
        return True
    # A changing step that failed, was cut off or lost its host proves nothing, unless the module says so.
    return step["status"] in (*BAD, "ignored", "unreachable", "started") and not step.get(
        "left_unchanged", False
    )
