# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate: what must be true before a change. Each rule is one function; a new rule is one more line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook_engine import approval, doors, proof
from runbook_engine.errors import Refused
from runbook_engine.ids import parse_timestamp
from runbook_engine.plain import digest
from runbook_engine.reduce import findings_of
from runbook_engine.resume import BOUND_PARTS


@dataclass(frozen=True)
class Request:
    """All that the rules look at.

    `planned`: the result of the recorded plan whose digest is expected, or of the newest one of the same,
    if there is one. `kept`: changes that an undo leaves in place. `resume`: what `plan_resume` returned.
    `proof`: how the runbook stands for this system (`Standing.as_dict`); None where nobody asks.
    """

    header: Mapping[str, Any]
    events: list[dict[str, Any]]
    targets: list[str]
    alive: list[str]
    check_mode: bool
    confirm: str
    content: str
    undos: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    resume: Mapping[str, Any] | None = None
    expected_digest: str = ""
    planned: Mapping[str, Any] | None = None
    approval: Mapping[str, Any] | None = None
    break_glass: str = ""
    proof: Mapping[str, Any] | None = None
    override: str = ""
    max_age_s: float = 900.0
    now: float = field(default_factory=time.time)

    @property
    def opened(self) -> dict[str, Any]:
        """What `open` recorded; empty when it did not run."""
        return next((e["data"] for e in self.events if e["type"] == "run.opened"), {})

    @property
    def door(self) -> str | None:
        """Through which door the run came: refusals speak its language."""
        return self.started.get("door")

    @property
    def started(self) -> dict[str, Any]:
        """What the record began with."""
        return next((e["data"] for e in self.events if e["type"] == "run.started"), {})


def judge(request: Request) -> dict[str, Any]:
    """Return the gate's decision `{passed, mode, plan, …}`; raise Refused when a rule says no.

    `passed` is also true for a plan: check mode then runs the mitigation without changing anything.
    """
    _opened(request)
    if not (request.opened["mitigation"] or request.opened["undo"]):
        return {"passed": False, "mode": "diagnose", "confirmed": False, "plan": None}
    for rule in RULES:
        rule(request)
    mode = "plan" if request.check_mode else "undo" if request.opened["undo"] else "apply"
    passed = {"passed": True, "mode": mode, "confirmed": not request.check_mode, "plan": make_plan(request)}
    if request.resume is not None:
        passed["resume"] = {key: request.resume[key] for key in ("run", "done", "again")}
    if request.proof is not None and mode != "undo":
        lacking = _lacks_proof(request)
        passed["proof"] = {key: request.proof[key] for key in ("state", "line", "why")} | {"lacking": lacking}
        if mode == "apply" and lacking:
            passed["override"] = request.override
    if mode == "apply" and _needs_approval(request):
        passed["break_glass" if request.break_glass else "approval"] = request.break_glass or dict(
            request.approval or {}
        )
    return passed


def make_plan(request: Request) -> dict[str, Any]:
    """Return what would be done, and its digests.

    `bound` is made of all that is known before a step runs. A plan's own `digest` also covers what its steps
    predict; the apply of a recorded plan that is bound to the same carries that plan's digest.
    """
    opened, name = request.opened, request.opened["mitigation"]
    mitigation: Mapping[str, Any] = next(
        (m for m in request.header.get("mitigations") or [] if m["name"] == name), {}
    )
    bound = {
        "system": opened["system"],
        "runbook": request.header.get("name"),
        "mitigation": name,
        "parameters": opened["parameters"],
        "undo": opened["undo"],
        "undo_step": opened.get("undo_step"),
        "undos": request.undos,
        "targets": sorted(request.targets),
        "content": request.content,
        "commit": request.started.get("commit"),
    }
    told = {key: mitigation.get(key) for key in ("title", "effect", "data_loss")}
    made = digest(bound)
    planned = request.planned if request.planned and request.planned["plan"]["bound"] == made else None
    return {
        **bound,
        **told,
        "undo_how": mitigation.get("undo"),
        "kept": request.kept,
        "resumes": request.resume["run"] if request.resume else None,
        "planned_by": planned["run"] if planned else None,
        # What that plan predicted: this run does not predict any more, it does.
        "expected": planned["plan"]["predicted"] if planned else [],
        "bound": made,
        "digest": request.expected_digest if planned and request.expected_digest else made,
    }


def _opened(request: Request) -> None:
    if not request.opened:
        raise Refused(
            "not_opened",
            "The run was not opened: its first play did not run.",
            f"do not leave out localhost ({doors.limit(request.door)}) nor start in the middle",
        )


def _targets(request: Request) -> None:
    if not request.targets:
        raise Refused("targets", "No host is left to act on.", "look at --limit and at the inventory")
    lost = sorted(set(request.targets) - set(request.alive))
    if lost:
        raise Refused(
            "targets", f"Lost while diagnosing: {', '.join(lost)}.", "bring them back, or use --limit"
        )


def _findings(request: Request) -> None:
    if not findings_of(request.events):
        raise Refused(
            "findings",
            "This run measured nothing.",
            "run it whole, without --tags or --start-at-task; look at the steps that were skipped",
        )
    last = max(
        parse_timestamp(e["at"]).timestamp()
        for e in request.events
        if e["type"] == "step.finished" and e["data"].get("findings")
    )
    age = request.now - last
    if age > request.max_age_s:
        raise Refused("findings", f"The findings are {age:.0f} s old.", "start again, so that they are fresh")


def _digest(request: Request) -> None:
    plan, expected, planned = make_plan(request), request.expected_digest, request.planned
    if not expected or expected == plan["bound"]:
        return
    if planned is None or planned["plan"]["digest"] != expected:
        raise Refused(
            "digest",
            f"No plan with the digest {expected} is recorded here, and now it is {plan['bound']}.",
            "plan again and look at what differs",
        )
    if planned["plan"]["bound"] != plan["bound"]:
        raise Refused(
            "digest",
            f"The plan is another one now: it differs in {_differences(planned['plan'], plan)}.",
            "plan again and look at what differs",
        )
    age = request.now - parse_timestamp(planned["finished_at"]).timestamp()
    limit = max(request.max_age_s, (request.opened.get("approval") or {}).get("expires_minutes", 0) * 60)
    if age > limit:
        raise Refused(
            "digest", f"The plan is {age:.0f} s old.", "plan again: what it predicts may have changed"
        )


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    parts = [part for part in BOUND_PARTS if one.get(part) != other[part]]
    return ", ".join(parts) or "what it is bound to"


def _resume(request: Request) -> None:
    """What is resumed is what was begun: the same on the same, by the same code."""
    if request.resume is None:
        return
    before, now = request.resume["plan"], make_plan(request)
    if before["bound"] != now["bound"]:
        run, differ = request.resume["run"], _differences(before, now)
        raise Refused(
            "resume",
            f"The plan is not the one of run {run}: it differs in {differ}.",
            "go back to what it was (commit, inventory, parameters), or see what that run did and start anew",
        )


def _lacks_proof(request: Request) -> bool:
    """Whether this change needs a proof that is not there.

    What was begun by the same code is gone on with, and the way back is never barred.
    """
    wanted = (request.opened.get("proof") or {}).get("required")
    begun = request.opened["undo"] or request.resume is not None
    return bool(wanted and not begun and request.proof and request.proof["state"] != proof.PROVED)


def _proof(request: Request) -> None:
    """What was never seen to work on a stand-in is not tried on the real thing without a reason."""
    if request.check_mode or request.override or not _lacks_proof(request):
        return
    raise proof.refusal(request.door, request.proof or {})


def _needs_approval(request: Request) -> bool:
    return bool((request.opened.get("approval") or {}).get("required"))


def _approval(request: Request) -> None:
    """Break-glass passes with a reason: an emergency does not wait for a second person, but is not silent."""
    if request.check_mode or not _needs_approval(request) or request.break_glass:
        return
    try:
        operator = str(request.started.get("operator") or "")
        approval.check(request.approval, make_plan(request), operator, request.now, door=request.door)
    except approval.ApprovalError as error:
        raise Refused("approval", error.reason, error.next_step) from error


def _confirm(request: Request) -> None:
    """Last, so that whoever types the name knows that all else is right."""
    system = request.opened["system"]
    if request.check_mode or request.confirm == system:
        return
    given = f"confirm is {request.confirm!r}" if request.confirm else "confirm is missing"
    raise Refused(
        "confirm",
        f"{given}, so nothing was changed.",
        doors.confirm(request.door, system),
    )


RULES: tuple[Callable[[Request], None], ...] = (
    _targets,
    _findings,
    _resume,
    _digest,
    _proof,
    _approval,
    _confirm,
)
