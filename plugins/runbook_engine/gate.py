# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate: what must be true before a change. Each rule is one function; a new rule is one more line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook_engine.errors import EngineError
from runbook_engine.ids import parse_timestamp
from runbook_engine.plain import digest
from runbook_engine.reduce import findings_of


class Refused(EngineError):  # noqa: N818 - a decision, not an error
    """The gate stays shut; nothing was changed. `kind` names the rule."""

    def __init__(self, kind: str, reason: str, next_step: str) -> None:
        super().__init__(reason, next_step)
        self.kind = kind


@dataclass(frozen=True)
class Request:
    """All that the rules look at."""

    header: Mapping[str, Any]
    events: list[dict[str, Any]]
    targets: list[str]
    alive: list[str]
    check_mode: bool
    confirm: str
    content: str
    undos: list[dict[str, Any]] = field(default_factory=list)
    expected_digest: str = ""
    max_age_s: float = 900.0
    now: float = field(default_factory=time.time)

    @property
    def opened(self) -> dict[str, Any]:
        """What `open` recorded; empty when it did not run."""
        return next((e["data"] for e in self.events if e["type"] == "run.opened"), {})

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
    return {"passed": True, "mode": mode, "confirmed": not request.check_mode, "plan": make_plan(request)}


def make_plan(request: Request) -> dict[str, Any]:
    """Return what would be done, and the digest that binds an approval to exactly this."""
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
        "undos": request.undos,
        "targets": sorted(request.targets),
        "content": request.content,
        "commit": request.started.get("commit"),
    }
    told = {key: mitigation.get(key) for key in ("title", "effect", "data_loss")}
    return {**bound, **told, "undo_how": mitigation.get("undo"), "digest": digest(bound)}


def _opened(request: Request) -> None:
    if not request.opened:
        raise Refused(
            "not_opened",
            "The run was not opened: its first play did not run.",
            "do not leave out localhost (--limit '<host>,localhost') nor start in the middle",
        )


def _targets(request: Request) -> None:
    if not request.targets:
        raise Refused("targets", "No host is left to act on.", "look at --limit and the inventory")
    lost = sorted(set(request.targets) - set(request.alive))
    if lost:
        raise Refused(
            "targets", f"Lost while diagnosing: {', '.join(lost)}.", "bring them back, or use --limit"
        )


def _findings(request: Request) -> None:
    if not findings_of(request.events):
        raise Refused(
            "findings", "This run measured nothing.", "run it whole, without --tags or --start-at-task"
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
    now = make_plan(request)["digest"]
    if request.expected_digest and request.expected_digest != now:
        raise Refused("digest", f"The plan is another one now: {now}.", "plan again and look at what differs")


def _confirm(request: Request) -> None:
    """Last, so that whoever types the name knows that all else is right."""
    system = request.opened["system"]
    if request.check_mode or request.confirm == system:
        return
    given = f"confirm is {request.confirm!r}" if request.confirm else "confirm is missing"
    raise Refused(
        "confirm",
        f"{given}, so nothing was changed.",
        f"to apply: -e confirm={system}; to plan: --check --diff",
    )


RULES: tuple[Callable[[Request], None], ...] = (_targets, _findings, _digest, _confirm)
