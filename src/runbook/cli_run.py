# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that run a playbook: `run`, and `undo` and `resume` of a recorded run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from runbook_engine import commands, state
from runbook_engine.errors import UsageError
from runbook_engine.request import ENGINE_OPTIONS
from runbook_engine.undo import newest_change

from runbook.catalog import find_declaration, find_mitigation, find_runbook, find_system
from runbook.cli_asked import overlays, resolve, same_where
from runbook.cli_go import go
from runbook.cli_read import recorded
from runbook.options import parameters
from runbook.project import find_project

_RESERVED = (*sorted(ENGINE_OPTIONS), "system")


def run(args: argparse.Namespace) -> int:
    """`runbook run`: diagnose, or plan a mitigation, or plan, ask and apply it."""
    project = find_project(args.project)
    runbook = find_runbook(project, args.runbook)
    system = find_system(project, args.system)
    find_declaration(system, runbook)
    variables = parameters(args.param)
    _check_variables(variables, args, {p["name"] for p in runbook.parameters})
    if args.mitigation:
        variables["mitigation"] = find_mitigation(runbook, args.mitigation).name
    what = args.mitigation or "diagnose"
    asked = resolve(
        args,
        project,
        runbook.name,
        system,
        where=(overlays(args), args.limit),
        variables=variables,
        what=what,
    )
    return go(asked, changing=bool(args.mitigation))


def undo(args: argparse.Namespace) -> int:
    """`runbook undo RUN`: plan to take a run's changes back (with --step only that); with --apply do it."""
    if args.run == "last":
        args.run = _newest_change(args)
    folder, result = recorded(args)
    step = {"undo_step": args.step} if args.step else {}
    what = f"undo of {folder.run}" + (f", step {args.step}" if args.step else "")
    return _follow(args, result, {"undo": folder.run, **step}, what)


def _newest_change(args: argparse.Namespace) -> str:
    found = newest_change(state.state_dir(args.state))
    if found is None:
        raise UsageError(
            "No recorded change is in place: there is nothing to undo.", "list the runs: runbook runs"
        )
    return found.run


def resume(args: argparse.Namespace) -> int:
    """`runbook resume RUN`: go on where a run was stopped; what it has done is not done again.

    The rules are the gate's. An undo that was stopped goes on as the undo that it is.
    """
    folder, result = recorded(args)
    if result["mode"] == "undo" and result["exit"]["code"] != 0:
        step = {"undo_step": result["undo_step"]} if result["undo_step"] else {}
        return _follow(args, result, {"undo": result["undo"], **step}, f"undo of {result['undo']}, resumed")
    if result["mode"] != "apply" or result["plan"] is None or result["exit"]["code"] == 0:
        raise UsageError(
            f"Run {folder.run} has nothing to resume: {result['exit']['reason']}",
            f"start anew: {commands.measure(result)}",
        )
    variables = {**result["parameters"], "mitigation": result["mitigation"], "resume": folder.run}
    return _follow(args, result, variables, f"{result['mitigation']}, resumed")


def _follow(args: argparse.Namespace, result: Mapping[str, Any], variables: dict[str, Any], what: str) -> int:
    """Run the runbook of a recorded run again, where that went."""
    name = (result.get("runbook") or {}).get("name")
    if not name or not result.get("system"):
        raise UsageError(
            f"Run {result['run']} never got as far as a system: it changed nothing.",
            "list the runs: runbook runs",
        )
    project = find_project(args.project)
    runbook = find_runbook(project, name)
    system = find_system(project, result["system"])
    if variables.get("mitigation"):
        find_mitigation(runbook, variables["mitigation"])
    asked = resolve(
        args, project, runbook.name, system, where=same_where(args, result), variables=variables, what=what
    )
    return go(asked, changing=True)


def _check_variables(variables: Mapping[str, Any], args: argparse.Namespace, general: set[str]) -> None:
    for name in _RESERVED:
        if name in variables:
            raise UsageError(
                f"--param {name} is not a parameter of a mitigation.", f"use --{name} where it exists"
            )
    if args.apply and not args.mitigation:
        raise UsageError(
            "--apply without --mitigation: there is nothing to apply.", "name it: --mitigation NAME"
        )
    special = [name for name in variables if name not in general]
    if special and not args.mitigation:
        raise UsageError(
            f"--param {special[0]} without --mitigation: it belongs to one.", "name it: --mitigation NAME"
        )
