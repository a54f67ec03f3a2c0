# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that only read: the catalog and the records."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runbook_engine import record, state
from runbook_engine.errors import EngineError, UsageError
from runbook_engine.verdict import CODES

from runbook.catalog import find_declaration, find_runbook, find_system, read_catalog
from runbook.catalog_runbooks import Runbook
from runbook.catalog_systems import System
from runbook.output import commands, make_console, pairs, print_list, print_runs, print_show
from runbook.project import find_project
from runbook.proofs import Standings, standings

_LOOK_BACK = 200
"""How many of the newest runs `list` looks through for the last one of each pair."""


def list_runbooks(args: argparse.Namespace) -> int:
    """`runbook list`: exit 2 when a file could not be read; what is sound is listed all the same."""
    project = find_project(args.project)
    catalog = read_catalog(project)
    where = state.state_dir(args.state)
    last, proofs = _last_runs(where), standings(project, where, catalog.systems)
    if args.json:
        listed = [_listed(system, runbook, last, proofs) for system, runbook in pairs(catalog)]
        _json(
            {
                "project": str(project.root),
                "runbooks": listed,
                "problems": [p.as_dict() for p in catalog.problems],
            }
        )
    else:
        print_list(make_console(), catalog, last, proofs)
    for problem in catalog.problems:
        sys.stderr.write(f"runbook: {problem}\n")
    return CODES["usage"] if catalog.problems else 0


def show_runbook(args: argparse.Namespace) -> int:
    """`runbook show [SYSTEM] RUNBOOK`."""
    project = find_project(args.project)
    if len(args.names) > 2:
        raise UsageError(f"Too many names: {' '.join(args.names)}.", "runbook show [SYSTEM] RUNBOOK")
    runbook = find_runbook(project, args.names[-1])
    system = find_system(project, args.names[0]) if len(args.names) == 2 else _only(project, runbook)
    if system is not None:
        find_declaration(system, runbook)
    proofs = standings(project, state.state_dir(args.state), [system] if system else [])
    if args.json:
        _json(
            _listed(system, runbook, {}, proofs) | {"commands": [c for c in commands(runbook, system) if c]}
        )
    else:
        print_show(make_console(), runbook, system, proofs)
    return 0


def list_runs(args: argparse.Namespace) -> int:
    """`runbook runs`: the newest first; a damaged record is named on stderr and makes the exit 9."""
    results, damaged = [], False
    for folder in state.list_runs(state.state_dir(args.state))[: args.limit]:
        try:
            results.append(record.settled(folder))
        except EngineError as error:
            damaged = True
            sys.stderr.write(f"runbook: run {folder.run}: {error}\n")
    if args.json:
        keys = ("run", "system", "mode", "mitigation", "started_at", "duration_s", "rehearsal", "exit")
        _json([{key: r[key] for key in keys} | {"runbook": r["runbook"].get("name")} for r in results])
    else:
        print_runs(make_console(), results)
    return CODES["verification_failed"] if damaged else 0


def show_run(args: argparse.Namespace) -> int:
    """`runbook show-run RUN`: exit 0 when the record could be read, whatever the run's own exit was."""
    from runbook.output_result import print_result  # noqa: PLC0415

    folder, result = recorded(args)
    if args.json:
        _json(result)
        return 0
    print_result(make_console(), result, whole=True)
    make_console().print(f"Record: {folder.path}", style="dim", soft_wrap=True)
    return 0


def write_report(args: argparse.Namespace) -> int:
    """`runbook report RUN [FILE]`."""
    from runbook.report_write import write  # noqa: PLC0415

    folder, result = recorded(args)
    path = Path(args.file or f"{folder.run}.html").absolute()
    write(path, result, state.state_dir(args.state))
    if args.json:
        _json({"report": str(path)})
    else:
        sys.stdout.write(f"{path}\n")
    return 0


def recorded(args: argparse.Namespace) -> tuple[state.RunFolder, dict[str, Any]]:
    """Return the folder and the verified result of the run that `args.run` names (`last`: the newest)."""
    where = state.state_dir(args.state)
    if args.run == "last":
        runs = state.list_runs(where)
        if not runs:
            raise UsageError(f"No run is recorded in {where}.", "start one: runbook run SYSTEM RUNBOOK")
        folder = runs[0]
    else:
        folder = state.existing_run(where, args.run)
    return folder, record.settled(folder)


def _only(project: Any, runbook: Runbook) -> System | None:
    """The system that is meant when there is only one."""
    declaring = [s for s in read_catalog(project).systems if runbook.name in s.runbooks]
    return declaring[0] if len(declaring) == 1 else None


def _last_runs(where: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The newest run of each pair, from the results alone: `list` is no audit and has to be quick."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in state.list_runs(where)[:_LOOK_BACK]:
        try:
            result = state.load_result(folder)
        except (OSError, ValueError):
            continue
        if isinstance(result, dict) and result.get("rehearsal"):
            continue  # it says nothing of the real system
        if isinstance(result, dict) and result.get("exit") and isinstance(result.get("runbook"), dict):
            last.setdefault((result.get("system") or "", result["runbook"].get("name") or ""), result)
    return last


def _listed(
    system: System | None,
    runbook: Runbook,
    last: dict[tuple[str, str], dict[str, Any]],
    proofs: Standings,
) -> dict[str, Any]:
    declared = system.runbooks.get(runbook.name) if system else None
    pair = (system.name if system else "", runbook.name)
    run, stands = last.get(pair), proofs.get(pair)
    return {
        "system": system.name if system else None,
        "runbook": runbook.name,
        "title": runbook.title,
        "summary": runbook.summary,
        "severity": (declared.severity if declared else None) or runbook.severity,
        "recovery_minutes": declared.recovery_minutes if declared else None,
        "rpo_hours": declared.rpo_hours if declared else None,
        "symptoms": list(runbook.symptoms),
        "diagnosis": list(runbook.diagnosis),
        "causes": list(runbook.causes),
        "mitigations": [asdict(m) for m in runbook.mitigations],
        "rollback": list(runbook.rollback),
        "escalation": [asdict(step) for step in runbook.escalation],
        "signals": [asdict(signal) for signal in runbook.signals],
        "explains": list(runbook.explains),
        "confirm_by_owner": list(runbook.confirm_by_owner),
        "proof": stands.as_dict() if stands else None,
        "last_run": {"run": run["run"], "exit": run["exit"]} if run else None,
    }


def _json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
