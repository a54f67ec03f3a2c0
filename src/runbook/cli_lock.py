# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`runbook lock show|break SYSTEM`: who is changing a system; take the lock from a run that must not live."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook_engine import origin, sweep
from runbook_engine.errors import EngineError, UsageError
from runbook_engine.verdict import CODES

from runbook.catalog import find_system, read_catalog
from runbook.catalog_systems import System
from runbook.errors import RefusedError
from runbook.project import Project, find_project
from runbook.runner import program
from runbook.runner_environment import child_environment

_TIMEOUT_S = 60.0
_DIRECTORY = "{{ run_lock_directory | default('/run/oncall-runbooks') }}"


class LockUnknownError(EngineError):
    """No host said anything about the lock."""

    kind = "unreachable"


def lock(args: argparse.Namespace) -> int:
    """Show (exit 0 free, 7 held) or break the lock of a system."""
    project = find_project(args.project)
    system = find_system(project, args.system)
    options: dict[str, Any] = {"state": "info"}
    if args.action == "break":
        options = _breaking(args, system)
    told = _ask_hosts(project, system, args.inventory, options)
    if args.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{host}: {_sentence(said)}\n" for host, said in sorted(told.items())))
    _raise_if_unknown(told)
    held = any((said.get("lock") or {}).get("held") for said in told.values())
    return CODES["lock_held"] if held else 0


def _breaking(args: argparse.Namespace, system: System) -> dict[str, Any]:
    if not args.reason or not args.reason.strip():
        raise UsageError("--reason is missing: it is told to the run that loses the lock.", "say why")
    if "{{" in args.reason or "{%" in args.reason:
        raise UsageError("--reason holds a template.", "write it without {{ and {%")
    if args.confirm != system.name:
        raise RefusedError(
            "Breaking a lock lets two runs change one system; nothing was done.",
            f"if that run is dead or must not go on: --confirm {system.name}",
        )
    broken = {"state": "broken", "operator": origin.operator(), "reason": args.reason}
    return broken | ({"expected_holder": args.holder} if args.holder else {})


def _ask_hosts(
    project: Project, system: System, overlays: list[str], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Ask every host of the system's groups at once, as each of them may keep the lock."""
    groups = sorted({r.group for r in read_catalog(project).runbooks if r.name in system.runbooks})
    inventories = [system.folder, *(Path(path).expanduser().absolute() for path in overlays)]
    asked = json.dumps({"name": system.name, "directory": _DIRECTORY, **options})
    command = [str(program("ansible")), *(part for path in inventories for part in ("-i", str(path)))]
    command += ["-o", "-m", "oncall.runbooks.lease", "-a", asked, ":".join(groups)]
    with tempfile.TemporaryDirectory(prefix="runbook-lock-") as private:
        environment = child_environment(project, inventories, Path(private))
        environment["ANSIBLE_NOCOLOR"] = "1"
        done = subprocess.run(
            command, env=environment, cwd=project.root, capture_output=True, text=True, check=False,
            timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    told = {host: _kept(said) for host, said in sweep.answers(done.stdout.splitlines())}
    if not told:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise LockUnknownError(
            f"No host of {system.name} answered: {said}", "look at the network and the hosts"
        )
    return told


def _kept(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: said[key] for key in ("lock", "msg", "error", "unreachable") if key in said}


def _sentence(said: Mapping[str, Any]) -> str:
    found = said.get("lock")
    if not found:
        return str(said.get("msg") or "no answer")
    holder = found.get("holder")
    if not holder:
        return "free"
    return (
        f"HELD by run {holder['run']} of {holder['operator']} on {holder['controller']}, "
        f"for {holder['what']}, since {holder['since']}, until {holder['until']} unless renewed"
    )


def _raise_if_unknown(told: Mapping[str, Mapping[str, Any]]) -> None:
    silent = sorted(host for host, said in told.items() if "lock" not in said)
    if silent:
        raise LockUnknownError(
            f"Not known on {', '.join(silent)}.",
            f"bring {'it' if len(silent) == 1 else 'them'} back, then ask again",
        )
