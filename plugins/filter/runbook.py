# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role `run`: they hand the engine's plain functions to tasks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812 - Ansible's own name for it

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine import approval, current, gate, origin, recommend, reduce, request, undo
from runbook_engine.errors import EngineError
from runbook_engine.plain import plain


def run_open(header: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{opened, refusal}` of a run; `given`: system, groups, variables."""

    def opened() -> dict[str, Any]:
        events, _head = current.current_events()
        groups = {str(k): plain(v) for k, v in given["groups"].items()}
        options = next(e["data"]["options"] for e in events if e["type"] == "run.started")
        return request.check_request(
            plain(header), plain(given.get("system")), groups, given["variables"], options
        )

    return _guarded("open", "opened", opened)


def run_recommend(header: Any) -> dict[str, Any]:
    """Return `{recommendation, refusal}` from what the record says was found."""

    def recommendation() -> dict[str, Any]:
        events, _head = current.current_events()
        return recommend.recommend(plain(header), reduce.findings_of(events))

    return _guarded("recommend", "recommendation", recommendation)


def run_gate(header: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{gate, refusal}`; `given` has what `gate.Request` needs, and `content`: paths to bind."""

    def decided() -> dict[str, Any]:
        events, _head = current.current_events()
        wanted, state = str(given.get("plan_digest") or ""), _state()
        asked = gate.Request(
            header=plain(header),
            events=events,
            targets=plain(given["targets"]),
            alive=plain(given["alive"]),
            check_mode=bool(given["check_mode"]),
            confirm=str(given.get("confirm") or ""),
            content=origin.content_digest([*map(Path, plain(given["content"])), *_code()]),
            undos=_undos(events, plain(given["targets"])),
            expected_digest=wanted,
            planned=approval.find_plan(state, wanted) if wanted else None,
            approval=approval.load(state, wanted) if wanted else None,
            break_glass=str(given.get("break_glass") or "").strip(),
            max_age_s=float(given["max_age_s"]),
        )
        return gate.judge(asked)

    return _guarded("gate", "gate", decided)


def run_undo(run: str, targets: list[str]) -> list[dict[str, Any]]:
    """Return the changes of `run` that can be taken back, the last first."""
    events, _head = current.current_events()
    opened = next(e["data"] for e in events if e["type"] == "run.opened")
    try:
        return undo.plan_undo(_state(), str(run), opened["system"], plain(targets))
    except gate.Refused:
        if str(run) == current.current_run().run:
            return []
        raise


def run_result(_unused: Any) -> dict[str, Any]:
    """Return the result of this run as it is now, as if the run ended here."""
    return current.result_so_far()


def _state() -> Path:
    return current.current_run().path.parent.parent


def _code() -> list[Path]:
    """What executes a step beside the playbooks: the collection, this project's plugins, other roles."""
    collection = importlib.import_module("ansible_collections.oncall.runbooks")
    configured = [*C.DEFAULT_ROLES_PATH, *C.DEFAULT_ACTION_PLUGIN_PATH, *C.DEFAULT_MODULE_PATH]
    own = {Path(__file__).resolve().parent.parent, *map(Path, collection.__path__)}
    return sorted(own | {Path(p) for p in configured if Path(p).is_dir()})


def _undos(events: list[dict[str, Any]], targets: list[str]) -> list[dict[str, Any]]:
    run = next((e["data"]["undo"] for e in events if e["type"] == "run.opened"), None)
    return run_undo(run, targets) if run else []


def _guarded(by: str, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A refusal is data: it is recorded first, then a task fails with it."""
    try:
        return {key: work(), "refusal": {}}
    except EngineError as error:
        return {key: {}, "refusal": {"by": by, **error.as_dict(), "message": str(error)}}


class FilterModule:
    """The names under which Ansible finds the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters."""
        return {
            "run_open": run_open,
            "run_recommend": run_recommend,
            "run_gate": run_gate,
            "run_undo": run_undo,
            "run_result": run_result,
        }
