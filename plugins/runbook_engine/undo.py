# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a recorded run changed and how each change is taken back, the last one first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_engine import commands, lineage, record, state
from runbook_engine.changes import own_changes
from runbook_engine.errors import EngineError, Refused

Told = Mapping[tuple[str, str], Mapping[str, Any]]
"""What hosts said of steps in doubt, by run and step."""


@dataclass(frozen=True)
class UndoPlan:
    """What is taken back, the last change first, and what stays in place, with the reason.

    `items`: `{run, step, host, summary, role, entry_point, variable, args}`; `kept`: `{run, step, host, name,
    effect, why}`; `settled`: steps that their host says are not in place (any more).
    """

    items: list[dict[str, Any]]
    kept: list[dict[str, Any]]
    settled: list[tuple[str, str]]


def plan_undo(
    folder: Path, run: str, system: str, targets: list[str], *, step: str = "", told: Told | None = None
) -> UndoPlan:
    """Return how `run` and the runs that it resumes are taken back; with `step` (number or id) only that.

    Records are verified first; `folder` is the state folder; `told` is what hosts said of steps in doubt.
    Raises Refused when nothing can be taken back (any more), a change was made on a host that is no target,
    or a later run goes on from `run`.
    """
    results = lineage.family(folder, run)
    if results[0]["ended"] == "running":
        results = results[:1]  # a run takes back its own changes only
    later = lineage.later(folder, results[-1]["run"])
    _check_run(folder, results[0], system, later)
    told = told or {}
    settled = [key for key, said in told.items() if said["state"] in lineage.GONE]
    items: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    for result in results:
        for changed in reversed(own_changes(result)):
            key = (result["run"], changed["id"])
            # What failed and was made anew had changed something, too, if it said how that is taken back.
            if key in later.gone or key in settled or (key in later.anew and not changed.get("undo")):
                continue
            made = _items(result["run"], changed, told.get(key) or {})
            if step and not _is_meant(step, changed["id"]):
                kept.append(_kept(result["run"], changed, "it was not asked for"))
            elif made:
                items += made
            else:
                kept.append(_kept(result["run"], changed, why_kept(changed)))
    return _checked(results[0], UndoPlan(items, kept, settled), targets, step)


def _check_run(folder: Path, result: Mapping[str, Any], system: str, later: lineage.Later) -> None:
    run = result["run"]
    if result["system"] != system:
        raise Refused(
            "undo",
            f"Run {run} was on the system {result['system']}, not {system}.",
            "list the runs: runbook runs",
        )
    resumed = lineage.resumed_by(folder, run, later)
    if resumed:
        raise Refused(
            "undo",
            f"Run {resumed} resumed run {run} and changed more; what came last is taken back first.",
            f"take back both: {commands.undo(result, resumed, apply=False)}",
        )


def _checked(result: Mapping[str, Any], plan: UndoPlan, targets: list[str], step: str) -> UndoPlan:
    run = result["run"]
    if not plan.items and not plan.settled:
        stays = [k for k in plan.kept if not step or _is_meant(step, k["step"])]
        why = f": {stays[0]['name']!r} on {stays[0]['host']}: {stays[0]['why']}" if stays else ""
        where = f" in step {step}" if step else ""
        raise Refused(
            "undo",
            f"Run {run} left nothing that a recorded undo takes back{where}{why}.",
            f"see what it did: {commands.about(result, 'show-run', run)}",
        )
    away = sorted({i["host"] for i in plan.items} - set(targets))
    if away:
        raise Refused(
            "undo", f"Run {run} changed hosts that are no targets now: {', '.join(away)}.", "widen --limit"
        )
    return plan


def newest_change(folder: Path) -> state.RunFolder | None:
    """Return the newest run with a change in place, of the system and the inventories of the newest run.

    None when there is none. A rehearsal has other inventories than the real system: neither is taken for
    the other.
    """
    same: tuple[Any, ...] | None = None
    later = lineage.Later()
    for source in state.list_runs(folder):
        try:
            result = state.load_result(source) or record.settled(source)
        except (ValueError, EngineError):
            continue
        if result.get("system") and result["mode"] != "undo":
            place = (result["system"], tuple(commands.overlays(result)))
            same = same or place
            left = {(source.run, step["id"]) for step in own_changes(result)} - later.settled
            if place == same and left:
                return source
        later.add(result)
    return None


def _is_meant(step: str, ident: str) -> bool:
    """`7` means step 7 on every host, `7@front` the one on that host."""
    return step in (ident, ident.partition("@")[0])


def _items(run: str, step: Mapping[str, Any], said: Mapping[str, Any]) -> list[dict[str, Any]]:
    undos = list(step.get("undo") or ())
    if said.get("undo") and step["effect"] != "irreversible":
        undos = [said["undo"]]
    return [
        {
            "run": run,
            "step": step["id"],
            "host": step["host"],
            "summary": undo.get("summary", ""),
            "role": undo["role"],
            "entry_point": undo["entry_point"],
            "variable": undo["role"].rsplit(".", 1)[-1] + "_undo",
            "args": undo.get("args") or {},
        }
        for undo in reversed(undos)
        if undo.get("reversible", True) and undo.get("role") and undo.get("entry_point")
    ]


def _kept(run: str, step: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {"run": run, "step": step["id"], **{k: step[k] for k in ("host", "name", "effect")}, "why": why}


def why_kept(step: Mapping[str, Any]) -> str:
    """Return why nothing takes a step back, as the step says it itself where it does."""
    said = [str(undo["summary"]) for undo in step.get("undo") or () if undo.get("summary")]
    if step["effect"] == "irreversible":
        return ": ".join(["it is irreversible", *said[:1]])
    if said:
        return said[0]
    if step["status"] != "changed":
        return "its end was never seen, and its host cannot be asked what became of it"
    return "it recorded no undo"
