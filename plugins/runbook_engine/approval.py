# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Approvals: a second operator says yes to exactly one plan, for a short time. See docs/gate.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_engine import doors, state
from runbook_engine.errors import EngineError
from runbook_engine.ids import parse_timestamp, timestamp
from runbook_engine.record import verify

DEFAULT_MINUTES = 15
_LOOK_BACK = 500
FOLDER = "approvals"
_FIELDS = ("digest", "run", "system", "runbook", "mitigation", "approved_by", "at", "expires_at")


class ApprovalError(EngineError):
    """An approval is missing, or cannot be given or used."""

    kind = "approval"


def requirement(
    declared: Mapping[str, Any], severity: str | None, mitigation: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `{required, expires_minutes}` of a mitigation.

    `declared` is what the system's inventory says of the runbook. Without a word of it, what cannot be taken
    back in an incident of SEV-1 needs a second pair of eyes.
    """
    said = (declared.get("approvals") or {}).get(mitigation.get("name")) or {}
    by_default = severity == "SEV-1" and mitigation.get("effect") == "irreversible"
    return {
        "required": bool(said.get("required", by_default)),
        "expires_minutes": float(said.get("expires_minutes", DEFAULT_MINUTES)),
    }


def approve(folder: Path, run: str, approver: str, now: datetime | None = None) -> dict[str, Any]:
    """Write the approval of the plan that `run` made, and return it; ApprovalError if it cannot be given."""
    source = state.existing_run(folder, run)
    verify(source)
    result = state.load_result(source) or {}
    if result.get("mode") != "plan" or result["exit"]["name"] != "planned":
        raise ApprovalError(f"Run {run} is no plan with changes.", "approve the run that made the plan")
    if result["operator"] == approver:
        raise ApprovalError(
            f"{approver} made this plan; nobody approves an own plan.", "ask another operator to approve it"
        )
    moment = now or datetime.now(UTC)
    minutes = result["approval"]["expires_minutes"] if result.get("approval") else DEFAULT_MINUTES
    plan = result["plan"]
    given = {
        "digest": plan["digest"],
        "run": run,
        **{key: plan[key] for key in ("system", "runbook", "mitigation")},
        "planned_by": result["operator"],
        "approved_by": approver,
        "at": timestamp(moment),
        "expires_at": timestamp(moment + timedelta(minutes=minutes)),
    }
    where = path_of(folder, plan["digest"])
    where.parent.mkdir(mode=0o700, exist_ok=True)
    state.write_whole(where, (json.dumps(given, indent=2) + "\n").encode())
    return given


def find_plan(folder: Path, wanted: str, key: str = "digest") -> dict[str, Any] | None:
    """Return the verified result of the newest plan whose `key` (digest or bound) is `wanted`, if any.

    Raises RecordError when its record was edited.
    """
    for run in state.list_runs(folder)[:_LOOK_BACK]:
        try:
            result = state.load_result(run)
        except (OSError, ValueError):
            continue
        if not isinstance(result, dict) or result.get("mode") != "plan":
            continue
        if isinstance(result.get("plan"), dict) and result["plan"].get(key) == wanted:
            verify(run)
            return result
    return None


def path_of(folder: Path, digest: str) -> Path:
    """Return where the approval of a plan's digest is kept."""
    return folder / FOLDER / f"{digest.removeprefix('sha256:')}.json"


def load(folder: Path, digest: str) -> dict[str, Any] | None:
    """Return the approval of `digest`; None when there is none; raise ApprovalError when it is damaged."""
    where = path_of(folder, digest)
    try:
        given = json.loads(where.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ApprovalError(
            f"The approval {where} cannot be read: {error}.", "approve the plan again"
        ) from error
    if not isinstance(given, dict) or not all(isinstance(given.get(key), str) for key in _FIELDS):
        raise ApprovalError(f"The approval {where} is damaged.", "approve the plan again")
    return given


def check(
    given: Mapping[str, Any] | None,
    plan: Mapping[str, Any],
    operator: str,
    now: float,
    *,
    door: str | None = None,
) -> None:
    """Raise ApprovalError unless `given` lets `operator` apply `plan` at the Unix time `now`.

    `door` chooses the words of the next step.
    """
    if given is None:
        raise ApprovalError(
            "This needs the approval of another operator, and there is none for this plan.",
            doors.approval(door),
        )
    for key in ("digest", "system", "runbook", "mitigation"):
        if given[key] != plan[key]:
            raise ApprovalError(
                f"The approval is for another plan: its {key} is {given[key]}, not {plan[key]}.",
                "have this plan approved",
            )
    if operator in (given["approved_by"], ""):
        raise ApprovalError(
            f"{operator or 'Nobody'} approved this and applies it.",
            "let another operator approve or apply it",
        )
    _check_time(given, now)


def _check_time(given: Mapping[str, Any], now: float) -> None:
    try:
        begins, ends = (parse_timestamp(given[key]).timestamp() for key in ("at", "expires_at"))
    except ValueError as error:
        raise ApprovalError("The approval has no readable times.", "approve the plan again") from error
    if now > ends:
        raise ApprovalError(
            f"The approval of {given['approved_by']} expired at {given['expires_at']}.",
            "plan again, and have it approved again",
        )
    if now < begins - 60:
        raise ApprovalError(
            f"The approval is from the future ({given['at']}).", "set the clocks of the controllers right"
        )
