# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a stopped run has done, what it may have done, and what is left for the run that resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook_engine import commands, lineage
from runbook_engine.changes import may_have_changed
from runbook_engine.errors import Refused
from runbook_engine.reduce import reconciled_of

BOUND_PARTS = (
    "system", "runbook", "mitigation", "parameters", "undo", "undo_step", "undos", "targets", "content",
    "commit",
)  # fmt: skip
"""What a plan is bound to, in the order in which differences are told."""


def unknown_steps(folder: Path, run: str) -> list[dict[str, Any]]:
    """Return the steps of `run` (and of those it resumes) whose outcome only their host can tell.

    Each `{run, step, host, name, role, entry_point, variable, result}`: include `role` with `entry_point` and
    `variable` set, then read `result`. A step whose undo was itself cut short belongs to them.
    """
    results = lineage.family(folder, run)
    later = lineage.later(folder, results[-1]["run"])
    gone, doubted = later.settled, _undo_cut_short(later, {r["run"] for r in results})
    asked = []
    for result in results:
        for step in result["steps"]:
            role, _, entry = str((step.get("intent") or {}).get("ask") or "").partition("/")
            known = step["status"] == "changed" and not doubted
            if not entry or known or not may_have_changed(step) or (result["run"], step["id"]) in gone:
                continue
            noun = role.rsplit(".", 1)[-1]
            asked.append(
                {
                    **_told(result["run"], step),
                    "role": role, "entry_point": entry,
                    "variable": f"{noun}_ask", "result": f"{noun}_outcome",
                }
            )  # fmt: skip
    return asked


def plan_resume(
    folder: Path, run: str, opened: Mapping[str, Any], events: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return `{run, done, again, plan}`: steps that are not repeated, steps that are, and the plan of `run`.

    `events` are those of the run that resumes: they hold what the hosts said of the steps in doubt. Raises
    Refused when there is nothing to resume or somebody took it back.
    """
    results = lineage.family(folder, run)
    _check_resumable(results[0], opened)
    later = lineage.later(folder, results[-1]["run"])
    _check_first(later, run)
    gone, told = later.settled, reconciled_of(events)
    done: dict[lineage.Identity, dict[str, Any]] = {}
    again: dict[lineage.Identity, dict[str, Any]] = {}
    for result in reversed(results):
        begun = lineage.begun_before(result)
        for identity, step in lineage.identified(result):
            key = (result["run"], step["id"])
            outcome = (told.get(key) or {}).get("state")
            entry = {**_told(result["run"], step), "action": identity[1], "nth": identity[3]}
            if step["id"] in result["undone"]:
                continue
            if step["status"] == "changed" or outcome == "done":
                if key in gone or outcome == "undone":
                    raise _taken_back(run, step, results[0])
                done[identity] = entry | {"undo": bool(step.get("undo") or (told.get(key) or {}).get("undo"))}
                again.pop(identity, None)
            elif outcome not in lineage.GONE and key not in gone and may_have_changed(step):
                again[identity] = entry
            elif identity in begun and step["status"] == "ok":
                # Done by whoever began it: there was nothing left to change, then or later.
                again[identity] = entry
    return {
        "run": run,
        "done": list(done.values()),
        "again": [v for k, v in again.items() if k not in done],
        "plan": results[0]["plan"],
    }


def _told(run: str, step: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": run, "step": step["id"], "host": step["host"], "name": step["name"]}


def _check_resumable(result: Mapping[str, Any], opened: Mapping[str, Any]) -> None:
    run = result["run"]
    if result["ended"] == "running":
        raise Refused("resume", f"Run {run} is still running.", "wait for its end, or stop it: Ctrl-C there")
    if result["mode"] != "apply" or result["plan"] is None:
        raise Refused(
            "resume", f"Run {run} did not get as far as a change.", f"start anew: {commands.measure(result)}"
        )
    if result["exit"]["code"] == 0:
        raise Refused(
            "resume",
            f"Run {run} has nothing to resume: {result['exit']['reason']}",
            f"see what it did: {commands.about(result, 'show-run', run)}",
        )
    for what in ("system", "mitigation"):
        if result[what] != opened[what]:
            raise Refused(
                "resume",
                f"Run {run} was for the {what} {result[what]}, not {opened[what]}.",
                f"resume it as it was: {commands.resume(result)}",
            )


def _check_first(later: lineage.Later, run: str) -> None:
    for other in later.after(run):
        if other.get("resumes") == run and other["mode"] == "apply" and other["exit"]["code"] == 0:
            raise Refused(
                "resume",
                f"Run {other['run']} resumed it already: {other['exit']['reason']}",
                f"see what it did: {commands.about(other, 'show-run', other['run'])}",
            )


def _taken_back(run: str, step: Mapping[str, Any], result: Mapping[str, Any]) -> Refused:
    return Refused(
        "resume",
        f"What run {run} did in {step['name']!r} on {step['host']} was taken back since.",
        f"start anew: {commands.mitigate(result, result['mitigation'])}",
    )


def _undo_cut_short(later: lineage.Later, runs: set[str]) -> bool:
    """Whether a run that took back changes of `runs` ended before it could say whether it did."""
    return any(
        other.get("undo") in runs and other["ended"] in ("interrupted", "killed") and not other["check_mode"]
        for other in later.related
    )
