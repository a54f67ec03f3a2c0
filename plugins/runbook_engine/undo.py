# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a recorded run changed and how each change is taken back, the last one first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runbook_engine import chain, commands, state
from runbook_engine.gate import Refused
from runbook_engine.reduce import reduce
from runbook_engine.verdict import left_changed


def plan_undo(folder: Path, run: str, system: str, targets: list[str]) -> list[dict[str, Any]]:
    """Return `{step, host, summary, role, entry_point, variable, args}` per change, the last first.

    The record is verified first; `folder` is the state folder. Raises Refused when nothing can be taken
    back (any more) or a change was made on a host that is no target.
    """
    source = state.existing_run(folder, run)
    events, head = chain.read_events(source.events, run)
    result = reduce(events, head)
    if result["system"] != system:
        raise Refused(
            "undo",
            f"Run {run} was on the system {result['system']}, not {system}.",
            "list the runs: runbook runs",
        )
    already = _undone_later(folder, run)
    items = [
        item for step in reversed(left_changed(result)) if step["id"] not in already for item in _items(step)
    ]
    if not items:
        raise Refused(
            "undo",
            f"Run {run} left nothing that a recorded undo takes back.",
            f"see what it did: {commands.about(result, 'show-run', run)}",
        )
    away = sorted({i["host"] for i in items} - set(targets))
    if away:
        raise Refused(
            "undo", f"Run {run} changed hosts that are no targets now: {', '.join(away)}.", "widen --limit"
        )
    return items


def newest_change(folder: Path) -> state.RunFolder | None:
    """Return the newest run with a change in place, of the system and the inventories of the newest run.

    None when there is none. A rehearsal has other inventories than the real system: neither is taken for
    the other.
    """
    same: tuple[Any, ...] | None = None
    for source in state.list_runs(folder):
        try:
            result = state.load_result(source)
        except ValueError:
            continue
        if not result or not result.get("system"):
            continue
        place = (result["system"], tuple(commands.overlays(result)))
        same = same or place
        if place == same and {s["id"] for s in left_changed(result)} - _undone_later(folder, source.run):
            return source
    return None


def _items(step: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "step": step["id"],
            "host": step["host"],
            "summary": undo.get("summary", ""),
            "role": undo["role"],
            "entry_point": undo["entry_point"],
            "variable": undo["role"].rsplit(".", 1)[-1] + "_undo",
            "args": undo.get("args") or {},
        }
        for undo in reversed(step.get("undo") or [])
        if undo.get("reversible", True) and undo.get("role") and undo.get("entry_point")
    ]


def _undone_later(folder: Path, run: str) -> set[str]:
    """Steps of `run` that other runs took back, by their results."""
    done: set[str] = set()
    for other in state.list_runs(folder):
        if other.run <= run:
            break
        result = state.load_result(other) or {}
        if result.get("undo") == run:
            done.update(result.get("undone_elsewhere") or ())
    return done
