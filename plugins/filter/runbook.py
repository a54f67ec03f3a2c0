# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role `run`: they hand the engine's plain functions to tasks."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C  # noqa: N812 - Ansible's own name for it

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine import (
    approval,
    current,
    gate,
    origin,
    proof,
    proof_store,
    recommend,
    record,
    reduce,
    request,
    resume,
    state,
    triage,
    undo,
)
from runbook_engine.errors import EngineError, Refused, UsageError
from runbook_engine.plain import plain
from runbook_engine.project_files import Project


def run_open(header: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{opened, refusal}` of a run; `given`: system, groups, variables."""

    def opened() -> dict[str, Any]:
        events, _head = current.current_events()
        groups = {str(k): plain(v) for k, v in given["groups"].items()}
        started = next(e["data"] for e in events if e["type"] == "run.started")
        return request.check_request(
            plain(header),
            plain(given.get("system")),
            groups,
            given["variables"],
            started["options"],
            door=started["door"],
        )

    return _guarded("open", "opened", opened)


def run_recommend(header: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{recommendation, refusal}` from what the record says was found.

    given: `folder` of the playbooks and `declared`, the runbooks of the system: where the header says that it
    triages, they are held against the findings, and those that fit are the recommendation's `runbooks`.
    """

    def recommendation() -> dict[str, Any]:
        events, _head = current.current_events()
        found = reduce.findings_of(events)
        advice = recommend.recommend(plain(header), found)
        if not header.get("triages"):
            return advice
        declared = {name: plain(about or {}) for name, about in given["declared"].items()}
        severities = {name: about.get("severity") or "" for name, about in declared.items()}
        headers = [_header(Path(str(given["folder"])), name) for name in sorted(declared)]
        return advice | {"runbooks": triage.triage(headers, severities, found)}

    return _guarded("recommend", "recommendation", recommendation)


def _header(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name.replace('-', '_')}.yml"
    try:
        found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))[0]["vars"]["runbook"]
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        reason = f"The system declares the runbook {name}, and {path} has no header that can be read: {error}"
        raise UsageError(reason, "correct the playbook, or what the system declares") from error
    return found


def run_gate(header: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{gate, refusal}`; `given` has what `gate.Request` needs, and `content`: paths to bind."""

    def decided() -> dict[str, Any]:
        events, _head = current.current_events()
        wanted, state = str(given.get("plan_digest") or ""), _state()
        taken = _undo_plan(events, plain(given["targets"]))
        asked = gate.Request(
            header=plain(header),
            events=events,
            targets=plain(given["targets"]),
            alive=plain(given["alive"]),
            check_mode=bool(given["check_mode"]),
            confirm=str(given.get("confirm") or ""),
            content=origin.content_digest([*map(Path, plain(given["content"])), *_code()]),
            undos=taken.items,
            kept=taken.kept,
            resume=_resume_plan(events),
            expected_digest=wanted,
            planned=approval.find_plan(state, wanted) if wanted else None,
            approval=approval.load(state, wanted) if wanted else None,
            break_glass=str(given.get("break_glass") or "").strip(),
            proof=_proof(events),
            override=str(given.get("override") or "").strip(),
            max_age_s=float(given["max_age_s"]),
        )
        if asked.planned is None and asked.opened and not asked.check_mode:
            # Nobody named a plan: what the newest one of the same had predicted is good to know, no more.
            bound = gate.make_plan(asked)["bound"]
            asked = replace(asked, planned=approval.find_plan(state, bound, "bound"))
        return gate.judge(asked)

    return _guarded("gate", "gate", decided)


def run_undo(run: str, targets: list[str]) -> list[dict[str, Any]]:
    """Return the changes of `run` that can be taken back, the last first."""
    events, _head = current.current_events()
    try:
        return _take_back(events, str(run), plain(targets)).items
    except Refused:
        if str(run) == current.current_run().run:
            return []
        raise


def run_in_doubt(run: str) -> dict[str, Any]:
    """Return `{asked, refusal}`: the steps of `run` whose outcome only their host can tell."""
    return _guarded("gate", "asked", lambda: resume.unknown_steps(_state(), str(run)) if run else [])


def run_result(_unused: Any) -> dict[str, Any]:
    """Return the result of this run as it is now, as if the run ended here."""
    return current.result_so_far()


def run_changes(runs: list[str]) -> list[dict[str, Any]]:
    """Return what the given runs, those that this one resumes, and this one changed, in order.

    Each is a step with `at` (when it began), name, action, host and run.
    """
    this = current.result_so_far()
    earlier = dict.fromkeys([*map(str, plain(runs)), *(done["run"] for done in this["resumed"])])
    read = [record.read(state.existing_run(_state(), run)) for run in earlier]
    return [
        {"at": step["started_at"], "run": result["run"]} | {k: step[k] for k in ("name", "action", "host")}
        for result in (*read, this)
        for step in result["steps"]
        if step["phase"] == "mitigate" and step["status"] == "changed"
    ]


def run_evidence(host: str) -> list[dict[str, Any]]:
    """Return the evidence that steps on `host` captured in earlier runs, as far as this run resumes them."""
    done = {(t["run"], t["step"]) for t in current.result_so_far()["resumed"] if t["host"] == str(host)}
    return [
        evidence
        for run in sorted({run for run, _step in done})
        for evidence in record.read(state.existing_run(_state(), run))["evidence"]
        if (run, evidence["step"]) in done
    ]


def _state() -> Path:
    return current.current_run().path.parent.parent


def _code() -> list[Path]:
    """What executes a step beside the playbooks: the collection, this project's plugins, other roles."""
    collection = importlib.import_module("ansible_collections.oncall.runbooks")
    configured = [*C.DEFAULT_ROLES_PATH, *C.DEFAULT_ACTION_PLUGIN_PATH, *C.DEFAULT_MODULE_PATH]
    own = {Path(__file__).resolve().parent.parent, *map(Path, collection.__path__)}
    return sorted(own | {Path(p) for p in configured if Path(p).is_dir()})


def _opened(events: list[dict[str, Any]]) -> dict[str, Any]:
    return next((e["data"] for e in events if e["type"] == "run.opened"), {})


def _proof(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """How this runbook stands for this system; a rehearsal does not ask, because it makes the proof."""
    opened, started = _opened(events), next(e["data"] for e in events if e["type"] == "run.started")
    if not opened or started.get("rehearsal"):
        return None
    system, runbook = opened["system"], started["runbook"].get("name")
    root = Path(os.environ[current.PLAYBOOK]).parent.parent
    newest = proof_store.newest(root, _state(), {system: [runbook]})[system, runbook]
    wanted = opened["proof"]
    stands = proof.standing(Project(root), system, runbook, newest, max_age_days=wanted["max_age_days"])
    return stands.as_dict() if newest or wanted["required"] else None


def _undo_plan(events: list[dict[str, Any]], targets: list[str]) -> undo.UndoPlan:
    run = _opened(events).get("undo")
    return _take_back(events, run, targets) if run else undo.UndoPlan([], [], [])


def _take_back(events: list[dict[str, Any]], run: str, targets: list[str]) -> undo.UndoPlan:
    opened, told = _opened(events), reduce.reconciled_of(events)
    step = opened.get("undo_step") or ""
    return undo.plan_undo(_state(), run, opened["system"], targets, step=step, told=told)


def _resume_plan(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    opened = _opened(events)
    run = opened.get("resumes")
    return resume.plan_resume(_state(), run, opened, events) if run else None


def _guarded(by: str, key: str, work: Callable[[], Any]) -> dict[str, Any]:
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
            "run_in_doubt": run_in_doubt,
            "run_result": run_result,
            "run_changes": run_changes,
            "run_evidence": run_evidence,
        }
