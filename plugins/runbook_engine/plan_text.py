# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as labelled facts, in the order in which an operator asks for them: the same on every screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runbook_engine import commands, units

_TOLD = {"summary", "data_loss", "duration_s"}


def plan_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return `(label, text)` of the plan of a run's result; nothing empty, no names of internals."""
    plan = result["plan"]
    predictions = [p for p in foreseen(plan) if isinstance(p.get("prediction"), Mapping)]
    idle = changes_nothing(result)
    rows = [
        ("what", _what(plan)),
        ("where", f"{', '.join(plan['targets'])} (system {plan['system']})"),
        ("with", _pairs(plan["parameters"])),
        ("steps", "0 changes" if idle else _steps(plan.get("steps") or {})),
        *(
            ("done already", f"{d['name']} ({d['host']}), by run {d['run']}")
            for d in result.get("resumed") or ()
        ),
        *(
            ("not sure", f"{a['name']} ({a['host']}): done again, its end was never seen")
            for a in _again(result)
        ),
        *(
            ("found out", f"{t['name']} ({t['host']}): {t['summary']}")
            for t in result.get("reconciled") or ()
        ),
        *(("takes back", u["summary"] or u["step"]) for u in plan["undos"]),
        *(("leaves", f"{k['name']} ({k['host']}): {k['why']}") for k in plan.get("kept") or ()),
        *(("no way back", name) for name in _irreversible(plan) if not idle),
        *(("does", line) for line in _summaries(predictions)),
        *(("data loss", line) for line in loss_lines(plan) if not idle),
        ("takes", "" if idle else _duration(predictions, result.get("clocks") or {})),
        ("space", "" if idle else _space(predictions)),
        ("undo", "" if idle else plan.get("undo_how") or ""),
        ("proof", proof_text(result)),
        ("approval", _approval(result)),
        ("lock", lock_line(result)),
    ]
    return [(label, text) for label, text in rows if text]


def foreseen(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what the plan's steps predict; before the steps of an apply, what its plan predicted."""
    return list(plan.get("predicted") or plan.get("expected") or ())


def _irreversible(plan: Mapping[str, Any]) -> list[str]:
    found = [p["name"] for p in foreseen(plan) if p.get("effect") == "irreversible"]
    return [f"{name} cannot be taken back" for name in dict.fromkeys(found)]


def _again(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(((result.get("gate") or {}).get("resume") or {}).get("again") or ())


def changes_nothing(result: Mapping[str, Any]) -> bool:
    """Whether the steps of the plan have nothing to do: then nothing is lost, taken back or waited for."""
    return (result.get("exit") or {}).get("name") in ("nothing_to_do", "nothing_changed")


def _what(plan: Mapping[str, Any]) -> str:
    if plan.get("resumes"):
        return f"what is left of run {plan['resumes']}: {plan['mitigation']}"
    if plan["mitigation"]:
        return f"{plan['mitigation']}: {plan['title'] or ''}".rstrip(": ")
    return f"take back what run {plan['undo']} changed"


def _steps(counts: Mapping[str, int]) -> str:
    """Only what changes counts for a reader; that nothing is irreversible is worth a word."""
    nouns = {"change": "change", "irreversible": "irreversible change"}
    told = [units.count(counts[effect], noun) for effect, noun in nouns.items() if counts.get(effect)]
    if counts.get("change") and not counts.get("irreversible"):
        told.append("nothing irreversible")
    reads = counts.get("read", 0)
    return ", ".join([*told, *([f"{reads} only looking"] if reads else [])])


def _summaries(predictions: Iterable[Mapping[str, Any]]) -> list[str]:
    several = len({_host(p) for p in predictions}) > 1
    return [
        (f"{_host(p)}: " if several else "") + str(p["prediction"]["summary"])
        for p in predictions
        if p["prediction"].get("summary")
    ]


def loss_lines(plan: Mapping[str, Any]) -> list[str]:
    """Return the data loss of a plan in time and rows; what could not be counted is said, with the reason."""
    measured = [p for p in foreseen(plan) if isinstance(p.get("data_loss"), Mapping)]
    told = [line for p in measured for line in _loss(p["data_loss"])]
    stated = plan.get("data_loss")
    return told or ([str(stated)] if stated and plan["mitigation"] else [])


def _loss(loss: Mapping[str, Any]) -> list[str]:
    lines, age = [], loss.get("backup_age_s")
    if age is not None:
        lines.append(f"what was written in the last {units.seconds(age)}, since the backup was made")
    else:
        lines.append("everything written since the backup; when it was made is not known")
    tables = loss.get("tables") or []
    counted = {t["table"]: t["rows_newer"] for t in tables if t.get("rows_newer") is not None}
    lost = [f"{name} {units.count(rows, 'row')}" for name, rows in counted.items() if rows]
    none = [name for name, rows in counted.items() if not rows]
    if lost:
        lines.append("newer rows: " + ", ".join(lost))
    if none:
        lines.append("no newer row: " + ", ".join(none))
    lines += [
        f"not known: {t['table']}: {t.get('note') or 'its rows could not be counted'}"
        for t in tables
        if t.get("rows_newer") is None
    ]
    live = loss.get("live")
    return lines if live in (None, "answers") else [*lines, f"not all counted: the live database {live}"]


def _duration(predictions: Iterable[Mapping[str, Any]], clocks: Mapping[str, Any]) -> str:
    """The slowest host decides each step: hosts work at the same time."""
    longest: dict[str, float] = {}
    for predicted in predictions:
        spent = predicted["prediction"].get("duration_s")
        if isinstance(spent, int | float):
            longest[predicted["name"]] = max(spent, longest.get(predicted["name"], 0.0))
    target = clocks.get("recovery_minutes")
    within = f"the system is to be back within {units.seconds(target * 60)}" if target else ""
    if not longest:
        return f"not estimated; {within}" if within else ""
    late = ": TOO LATE by this alone" if target and sum(longest.values()) > target * 60 else ""
    about = f"about {units.seconds(sum(longest.values()))}"
    return f"{about}; {within}{late}" if within else about


def _space(predictions: Iterable[Mapping[str, Any]]) -> str:
    several = len({_host(p) for p in predictions}) > 1
    told = []
    for predicted in predictions:
        needed, free = (predicted["prediction"].get(key) for key in ("estimated_size", "free"))
        if isinstance(needed, int) and isinstance(free, int):
            where = f"{_host(predicted)}: " if several else ""
            told.append(f"{where}needs about {units.size(needed)}, {units.size(free)} are free")
    return "; ".join(told)


def proof_text(result: Mapping[str, Any]) -> str:
    """Return how the runbook is proved for the system, "" where nobody asked; an override stands first."""
    gate = result.get("gate") or {}
    told = gate.get("proof")
    if not told:
        return ""
    said = (
        f"{told['line']} ({told['why']})" if told["why"] and told["why"] not in told["line"] else told["line"]
    )
    return f"OVERRIDDEN, because: {gate['override']}; {said}" if gate.get("override") else str(said)


def _approval(result: Mapping[str, Any]) -> str:
    gate, asked = result.get("gate") or {}, result.get("approval") or {}
    if gate.get("break_glass"):
        return f"NONE: BREAK-GLASS, because: {gate['break_glass']}"
    if gate.get("approval"):
        given = gate["approval"]
        return f"{given['approved_by']}, at {given['at'][:19]}Z, for this plan"
    if not asked.get("required"):
        return ""
    minutes = units.seconds(asked["expires_minutes"] * 60)
    command = commands.about(result, "approve", result["run"])
    return f"needed from another operator, good for {minutes}: {command}"


def lock_line(result: Mapping[str, Any]) -> str:
    """Return who holds the lock of the system, as far as this run looked; "" when it did not look."""
    lock = result.get("lock")
    if not lock:
        return ""
    holder = lock.get("holder")
    if not holder:
        return f"free (looked on {lock['host']})" if lock.get("host") else ""
    if holder["run"] == result["run"]:
        return f"held by this run on {lock['host']} until it ends"
    return (
        f"HELD on {lock['host']} by run {holder['run']} of {holder['operator']} on {holder['controller']}, "
        f"since {holder['since']}, until {holder['until']}"
    )


def _host(predicted: Mapping[str, Any]) -> str:
    return str(predicted["step"]).partition("@")[2]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
