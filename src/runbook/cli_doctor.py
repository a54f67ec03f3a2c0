# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`runbook doctor`: while nothing burns, see whether everything is there that the runbooks need."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from runbook_engine import state
from runbook_engine.state import RunFolder
from runbook_engine.verdict import CODES

from runbook import doctor as checks
from runbook.catalog import find_system, system_names
from runbook.catalog_systems import System
from runbook.cli_asked import overlays
from runbook.output import make_console
from runbook.output_result import print_findings
from runbook.project import Project, find_project
from runbook.proofs import known_faults, standings
from runbook.runner import Outcome, Request, RunnerError, execute

_TIMEOUT_S = 300.0
ISSUES = ("fail", "unknown")
"""A warning is told; only these are what somebody has to do something about."""


class _Silent:
    """An observer that shows nothing: what counts comes in the end."""

    def started(self, folder: RunFolder) -> None:
        """Nothing to show."""

    def poll(self) -> None:
        """Nothing to show."""

    def stopping(self, now: bool) -> None:
        """Nothing to show."""

    def ended(self) -> None:
        """Nothing to show."""


def doctor(args: argparse.Namespace) -> int:
    """`runbook doctor [SYSTEM]`: 0; with --exit-on-issues 1 when anything is missing or could not be seen."""
    project, where = find_project(args.project), state.state_dir(args.state)
    names = [args.system] if args.system else system_names(project)
    systems = [find_system(project, name) for name in names]
    console = make_console(stderr=args.json)
    found = {"": list(checks.controller(where))}
    proofs = standings(project, where, systems, faults=known_faults(systems))
    laid_over = overlays(args)
    for system in systems:
        console.print(Text(f"asking {system.name} …", style="dim"))
        found[system.name] = [
            *checks.declared(project, system, proofs, needs_proof=system.needs_proof),
            *_asked(project, system, laid_over, where),
        ]
    issues = sum(one["status"] in ISSUES for listed in found.values() for one in listed)
    if args.json:
        _tell(found, issues)
    else:
        _print(console, found, issues)
    return CODES["findings_remain"] if issues and args.exit_on_issues else 0


def _asked(
    project: Project, system: System, laid_over: tuple[Path, ...], where: Path
) -> list[dict[str, Any]]:
    """What the hosts of a system say, and what its inventory lacks: one run of the preflight."""
    playbook = project.playbooks / "preflight" / "doctor.yml"
    request = Request(project, playbook, (system.folder, *laid_over), where, timeout=_TIMEOUT_S)
    try:
        outcome = execute(request, _Silent())
    except RunnerError as error:
        return [checks.made("preflight", "fail", str(error))]
    return list(checks.of_run(outcome.result)) if outcome.result else [_unrecorded(outcome)]


def _unrecorded(outcome: Outcome) -> dict[str, Any]:
    said = " ".join((outcome.damage or outcome.output or "it said nothing").split())[-500:]
    return checks.made("preflight", "fail", f"Ansible could not ask the system: {said}")


def _tell(found: dict[str, list[dict[str, Any]]], issues: int) -> None:
    told = {
        "issues": issues,
        "controller": found[""],
        "systems": [{"system": name, "findings": listed} for name, listed in found.items() if name],
    }
    sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")


def _print(console: Console, found: dict[str, list[dict[str, Any]]], issues: int) -> None:
    for name, listed in found.items():
        print_findings(console, listed, name or "The controller")
    warnings = sum(one["status"] == "warn" for listed in found.values() for one in listed)
    verdict = "Everything is there." if not issues else f"{issues} thing{'s' if issues > 1 else ''} to do."
    style = "bold red" if issues else "bold green"
    console.print(Text(f"\n{verdict}" + (f" {warnings} warnings." if warnings else ""), style=style))
