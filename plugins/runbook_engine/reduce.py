# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the events of a run to its result: a pure function, the same at every door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from runbook_engine import summary
from runbook_engine.chain import Head
from runbook_engine.ids import parse_timestamp
from runbook_engine.plain import digest
from runbook_engine.plan_digest import with_prediction
from runbook_engine.verdict import decide

SCHEMA = "https://oncall.runbooks/schema/result-1.json"
PHASES = ("diagnose", "recommend", "mitigate", "verify")

_STARTED = (
    "runbook",
    "playbook",
    "commit",
    "dirty",
    "operator",
    "controller",
    "check_mode",
    "door",
    "versions",
    "options",
    "asked",
    "rehearsal",
)
_HOLDER = ("run", "operator", "controller", "what", "since", "until")
_OPENED = (
    "system",
    "severity",
    "group",
    "targets",
    "mitigation",
    "parameters",
    "undo",
    "undo_step",
    "resumes",
    "clocks",
    "approval",
)


def reduce(events: list[dict[str, Any]], head: Head) -> dict[str, Any]:
    """Return the result of the run that `events` tell; `head` is the head of their chain.

    A run without `run.finished` reduces too: its `ended` is `running`.
    """
    result = _blank()
    steps: dict[tuple[int, str], dict[str, Any]] = {}
    closed = False
    for event in events:
        # After the run is closed its verdict stands: what follows only carries it to the caller.
        closed = closed or event["type"] == "run.closed"
        if not closed or event["type"] == "run.finished":
            _apply(result, steps, event)
    _finish(result, list(steps.values()), events)
    result["record"] = {"events": head.events, "head": head.hash}
    return result


def _blank() -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": "",
        "runbook": {},
        "system": None,
        "severity": None,
        "group": None,
        "targets": [],
        "mode": "diagnose",
        "mitigation": None,
        "parameters": {},
        "undo": None,
        "undo_step": None,
        "resumes": None,
        "resumed": [],
        "reconciled": [],
        "leftovers": [],
        "check_mode": False,
        "playbook": None,
        "commit": None,
        "dirty": None,
        "operator": None,
        "controller": None,
        "door": None,
        "versions": {},
        "options": [],
        "asked": {},
        "rehearsal": False,
        "started_at": None,
        "finished_at": None,
        "duration_s": None,
        "ended": "running",
        "stop_reason": None,
        "exit": {},
        "clocks": {},
        "approval": None,
        "refusal": None,
        "gate": None,
        "lock": None,
        "plan": None,
        "phases": [],
        "steps": [],
        "counts": {},
        "findings": [],
        "recommendation": None,
        "verification": {},
        "evidence": [],
        "undone": [],
        "undone_elsewhere": [],
        "approvals": [],
        "communications": [],
        "record": {},
    }


def _apply(
    result: dict[str, Any], steps: dict[tuple[int, str], dict[str, Any]], event: dict[str, Any]
) -> None:
    kind, data = event["type"], event["data"]
    if kind == "run.started":
        result["run"], result["started_at"] = data["run"], event["at"]
        result.update({key: data[key] for key in _STARTED if key in data})
    elif kind == "run.opened":
        result.update({key: data[key] for key in _OPENED if key in data})
    elif kind == "run.refused" and result["refusal"] is None:
        result["refusal"] = {key: data[key] for key in ("by", "kind", "reason", "next_step")}
    elif kind in _TAKEN:
        _TAKEN[kind](result, data)
    elif kind.startswith("lock."):
        result["lock"] = _lock(result["lock"], kind.removeprefix("lock."), data)
    elif kind in ("step.started", "step.finished"):
        _step(steps, event)
    elif kind == "run.finished":
        # Nobody was there when a killed run ended; its last event is the last that is known of it.
        result["finished_at"], result["ended"] = data.get("last_seen", event["at"]), data["ended"]
        result["stop_reason"] = data.get("reason")


def _undone(result: dict[str, Any], data: dict[str, Any]) -> None:
    if data["run"] == result["run"]:
        result["undone"].extend(data["steps"])
        return
    # Steps of the run that was named go by their own ids, those of a run before it say whose they are.
    whose = "" if data["run"] == result["undo"] else f"{data['run']}/"
    result["undone_elsewhere"].extend(f"{whose}{step}" for step in data["steps"])


def _reconciled(result: dict[str, Any], data: dict[str, Any]) -> None:
    result["reconciled"].append(data)
    if data["state"] == "undone" and result["undo"] and not result["check_mode"]:
        _undone(result, {"run": data["run"], "steps": [data["step"]]})


def _gate(result: dict[str, Any], data: dict[str, Any]) -> None:
    result["gate"], result["plan"] = {k: v for k, v in data.items() if k != "plan"}, data.get("plan")
    if data["mode"] != "refused":
        result["mode"] = data["mode"]
        result["resumed"] = list((data.get("resume") or {}).get("done") or ())
    if data.get("approval"):
        result["approvals"].append(data["approval"])


def _swept(result: dict[str, Any], data: dict[str, Any]) -> None:
    """What was ended is in the log; a result tells what was not, or where nobody could look."""
    if data.get("left") or data.get("problem"):
        result["leftovers"].append({k: data[k] for k in ("host", "left", "problem") if data.get(k)})


_TAKEN: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "recommendation": lambda result, data: result.update(recommendation=data),
    "gate": _gate,
    "undo.done": _undone,
    "step.reconciled": _reconciled,
    "run.swept": _swept,
}


def _lock(before: dict[str, Any] | None, state: str, data: dict[str, Any]) -> dict[str, Any]:
    """`state` is seen, taken, released or lost; who lost the lock may have given back what was left of it."""
    holder = data.get("holder") and {k: v for k, v in data["holder"].items() if k in _HOLDER}
    told = {"name": data.get("name"), "host": data.get("host"), "holder": holder, "lost": data.get("reason")}
    kept = {key: value for key, value in told.items() if value is not None}
    return (
        {"name": None, "host": None, "holder": None, "lost": None} | (before or {}) | kept | {"state": state}
    )


def _step(steps: dict[tuple[int, str], dict[str, Any]], event: dict[str, Any]) -> None:
    data = event["data"]
    key = (data["step"], data["host"])
    if event["type"] == "step.started":
        kept = {k: data[k] for k in ("name", "phase", "effect", "action", "host", "intent") if k in data}
        steps[key] = {
            "id": f"{data['step']}@{data['host']}", **kept, "status": "started", "changed": False,
            "started_at": event["at"], "duration_s": None,
        }  # fmt: skip
    elif key in steps:
        steps[key].update({k: v for k, v in data.items() if k not in ("step", "host", "name", "phase")})
        if any(undo.get("no_way_back") for undo in data.get("undo") or ()):
            # What it found makes it worse than its tag says, and its plan has to tell that already.
            steps[key]["effect"] = "irreversible"


def _finish(result: dict[str, Any], steps: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """Engine steps are how the engine works, not what was done: only failures of them are told."""
    refused = result["refusal"] is not None
    result["steps"] = [
        s
        for s in steps
        if s["phase"] != "engine" or (s["status"] in ("failed", "unreachable") and not refused)
    ]
    result["findings"] = summary.findings(result["steps"], "diagnose")
    result["evidence"] = [{"step": s["id"], **e} for s in result["steps"] for e in s.get("evidence", ())]
    result["phases"] = [p for p in (summary.phase(name, result) for name in PHASES) if p is not None]
    result["counts"] = dict(sorted(Counter(s["status"] for s in result["steps"]).items()))
    result["verification"] = summary.verification(result)
    if result["plan"] is not None:
        result["plan"] = _planned(result, result["plan"])
    if result["started_at"] and events:
        ended = parse_timestamp(result["finished_at"] or events[-1]["at"])
        result["duration_s"] = round((ended - parse_timestamp(result["started_at"])).total_seconds(), 3)
    result["exit"] = decide(result)


def _planned(result: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    """The plan with what its steps said of themselves; what is left of another run is a plan of its own."""
    plan = {**decided, **summary.predicted(result)}
    if result["mode"] == "plan":
        bound = digest([plan["bound"], plan["resumes"]]) if plan.get("resumes") else plan["bound"]
        plan["digest"] = with_prediction(bound, result["run"], plan["predicted"])
    return plan


def reconciled_of(events: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what hosts said of the steps in doubt of other runs, by run and step."""
    told = [e["data"] for e in events if e["type"] == "step.reconciled"]
    return {(data["run"], data["step"]): data for data in told}


def findings_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the diagnosing steps among `events` found."""
    steps = [e["data"] for e in events if e["type"] == "step.finished"]
    return summary.findings(steps, "diagnose")
