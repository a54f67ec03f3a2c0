# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be known on the controller before anything burns: tools, packages, state, contacts, proofs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from runbook_engine import proof
from runbook_engine.errors import EngineError

from runbook.catalog import find_runbook
from runbook.catalog_systems import System
from runbook.project import Project
from runbook.proofs import Standings
from runbook.runner import program

Finding = dict[str, Any]

_US = "oncall-runbooks"
# What a run starts on the controller, and what it is for.
_TOOLS = {"ssh": "hosts are reached with it", "git": "records name the commit that was run"}
_ANSIBLE = ("ansible-playbook", "ansible")
_ROOM = 200 * 2**20
"""Free bytes that records and evidence should have, at least."""


def controller(state: Path) -> Iterator[Finding]:
    """Yield what the controller has and lacks; `state`: where runs are recorded."""
    yield from _tools()
    yield from _packages()
    yield from _state(state)


def declared(project: Project, system: System, proofs: Standings, *, needs_proof: bool) -> Iterator[Finding]:
    """Yield what `system` declares that is missing: people to call, and proofs.

    needs_proof: its inventory wants a proof before anything is changed.
    """
    yield from _contacts(project, system)
    for (name, runbook), stands in proofs.items():
        if name == system.name:
            bad = "fail" if needs_proof else "warn"
            status = "ok" if stands.state == proof.PROVED else bad
            what = f"{stands.line}: {stands.why}" if stands.why else stands.line
            yield made("proof", status, f"{runbook}: {what}", stands.as_dict())


def made(check: str, status: str, summary: str, observed: Any = None, host: str = "controller") -> Finding:
    """Return a finding in the shape that modules give theirs."""
    return {
        "check": check,
        "host": host,
        "status": status,
        "observed": observed,
        "expected": None,
        "summary": summary,
    }


def _tools() -> Iterator[Finding]:
    missing = [f"{name} ({why})" for name, why in _TOOLS.items() if shutil.which(name) is None]
    for name in _ANSIBLE:
        try:
            program(name)
        except EngineError as error:
            missing.append(f"{name} ({error.next_step})")
    if missing:
        yield made("controller_tools", "fail", f"Not installed on the controller: {', '.join(missing)}.")
    else:
        yield made("controller_tools", "ok", f"{', '.join((*_ANSIBLE, *_TOOLS))} are there.")


def _packages() -> Iterator[Finding]:
    wanted = [Requirement(text) for text in metadata.requires(_US) or ()]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = {one.name: _version(one.name) for one in needed}
    bad = [
        f"{one.name} {found[one.name] or 'is missing'} (wanted: {one.specifier})"
        for one in needed
        if found[one.name] is None or not one.specifier.contains(found[one.name] or "", prereleases=True)
    ]
    if bad:
        text = f"Python packages of the controller: {'; '.join(bad)}. Next: install runbook again."
        yield made("controller_packages", "fail", text, found)
    else:
        told = ", ".join(f"{name} {version}" for name, version in found.items())
        yield made("controller_packages", "ok", f"{told}.", found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _state(state: Path) -> Iterator[Finding]:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=state).close()
    except OSError as error:
        text = f"Runs cannot be recorded in {state}: {error.strerror}, so none could change anything."
        yield made("state_folder", "fail", text, {"path": str(state)})
        return
    free, others = shutil.disk_usage(state).free, state.stat().st_mode & 0o077
    observed = {"path": str(state), "free": free}
    if others:
        text = f"Others may look into {state}: chmod 700 {state}"
        yield made("state_folder", "warn", text, observed)
    if free < _ROOM:
        text = f"{state} has {free // 2**20} MiB left for records and evidence."
        yield made("state_folder", "warn", text, observed)
    if not others and free >= _ROOM:
        yield made("state_folder", "ok", f"{state} can be written, {free // 2**30} GiB are free.", observed)


def _contacts(project: Project, system: System) -> Iterator[Finding]:
    """Whoever is to be called must be somebody."""
    asked: dict[str, list[str]] = {}
    for name in sorted(system.runbooks):
        try:
            steps = find_runbook(project, name).escalation
        except EngineError as error:
            yield made("runbooks", "fail", str(error))
            continue
        for step in steps:
            asked.setdefault(step.role, []).append(name)
    nobody = {role: names for role, names in asked.items() if not system.contacts.get(role)}
    for role, names in sorted(nobody.items()):
        text = f"Nobody is named as {role}, who is called by {', '.join(names)}: set system.contacts.{role}."
        yield made("contacts", "fail", text, {"role": role, "runbooks": names})
    if asked and not nobody:
        yield made("contacts", "ok", f"Everybody who may have to be called is named: {', '.join(asked)}.")


def of_run(result: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a run of the preflight found, and each of its steps that could not be done."""
    yield from result["findings"]
    for step in result["steps"]:
        if step["status"] in ("failed", "unreachable", "started"):
            check = "reachable" if step["status"] == "unreachable" else "preflight"
            said = " ".join(str(step.get("msg") or step["status"]).split())
            yield made(check, "fail", f"{step['name']}: {said}", host=step["host"])
    if result["refusal"]:
        yield made("preflight", "fail", f"{result['refusal']['reason']} {result['refusal']['next_step']}")
