# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the steps of a result amount to: findings, phases, verification, and what its plan predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from runbook_engine.pick import is_formality


def findings(steps: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    """Findings of a phase; the last step that measured a check of a service on a host counts.

    One step may find several things by one check, each of them counts: services are told apart by `observed`.
    """
    last: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for step in steps:
        if step["phase"] != phase:
            continue
        measured: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for finding in step.get("findings", ()):
            measured.setdefault(_measured(finding), []).append(finding)
        last |= measured
    return [finding for group in last.values() for finding in group]


def _measured(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    observed = finding.get("observed")
    service = observed.get("service", "") if isinstance(observed, Mapping) else ""
    return finding["check"], finding["host"], str(service)


def phase(name: str, result: dict[str, Any]) -> dict[str, Any] | None:
    """Return one phase of a result, None when nothing of it ran."""
    steps = [s for s in result["steps"] if s["phase"] == name]
    if name == "recommend" and result["recommendation"] is not None:
        return {"name": name, "status": "ok", "steps": len(steps), "duration_s": 0.0}
    if not steps:
        return None
    seen = {s["status"] for s in steps}
    order = ("unreachable", "failed", "rescued", "started", "changed", "ok", "ignored", "skipped")
    duration = round(sum(s["duration_s"] or 0.0 for s in steps), 3)
    return {
        "name": name,
        "status": next(status for status in order if status in seen),
        "steps": len(steps),
        "duration_s": duration,
    }


def verification(result: dict[str, Any]) -> dict[str, Any]:
    """Return what the verifying steps proved."""
    steps = [s for s in result["steps"] if s["phase"] == "verify"]
    measured = findings(steps, "verify")
    status, reason = _verified(steps, measured)
    return {"status": status, "reason": reason, "findings": measured, "steps": [s["id"] for s in steps]}


def _verified(steps: list[dict[str, Any]], measured: list[dict[str, Any]]) -> tuple[str, str]:
    bad = [s for s in steps if s["status"] in ("failed", "rescued", "ignored", "unreachable", "started")]
    if bad:
        return "failed", f"{bad[0]['name']!r} on {bad[0]['host']}: {bad[0].get('msg') or bad[0]['status']}"
    broken = [f for f in measured if f["status"] == "fail"]
    if broken:
        return "failed", f"{broken[0]['check']} on {broken[0]['host']}: {broken[0]['summary']}"
    unknown = [f for f in measured if f["status"] == "unknown"]
    if unknown:
        return "not_run", f"{unknown[0]['check']} on {unknown[0]['host']} could not be verified."
    if not [s for s in steps if s["status"] in ("ok", "changed")]:
        return "not_run", "No verifying step ran, so nothing is verified."
    return "passed", f"{len([s for s in steps if s['status'] != 'skipped'])} verifying steps passed."


def predicted(result: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of steps by effect, and what each changing step says of its change."""
    steps = [s for s in result["steps"] if s["phase"] == "mitigate"]
    ran = [s for s in steps if s["status"] != "skipped" and not is_formality(s["action"])]
    predictions = [
        {"step": s["id"], "name": s["name"], "effect": s["effect"], "diff": s.get("diff", [])}
        | {key: s.get(key) for key in ("prediction", "data_loss")}
        for s in ran
        if s["effect"] != "read"
    ]
    effects = Counter(s["effect"] for s in ran)
    return {
        "steps": {effect: effects.get(effect, 0) for effect in ("read", "change", "irreversible")},
        "predicted": predictions,
    }
