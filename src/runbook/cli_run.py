# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that run a playbook: `run` and `undo`. A change is planned and shown before it is asked for."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from runbook_engine import approval, commands, state
from runbook_engine.errors import UsageError
from runbook_engine.undo import newest_change
from runbook_engine.verdict import CODES, left_changed

from runbook.catalog import find_declaration, find_mitigation, find_runbook, find_system
from runbook.catalog_systems import System
from runbook.cli_read import recorded
from runbook.errors import RefusedError
from runbook.live import LiveView
from runbook.options import parameters
from runbook.output import make_console
from runbook.output_result import print_result
from runbook.project import Project, find_project
from runbook.report_write import check_path, write, write_junit
from runbook.runner import Outcome, Request, RunnerError, execute

_RESERVED = ("mitigation", "confirm", "undo", "plan_digest", "break_glass", "system")


@dataclass(frozen=True)
class Asked:
    """What the operator asked for, resolved: every name exists.

    `what` says it in words; `began` is when the clock of the recovery started (monotonic): with the command;
    `before` is the plan that a resumed run was made for.
    """

    args: argparse.Namespace
    request: Request
    system: System
    target_s: float | None
    what: str
    console: Console
    began: float = field(default_factory=time.monotonic)
    before: Mapping[str, Any] | None = None


def run(args: argparse.Namespace) -> int:
    """`runbook run`: diagnose, or plan a mitigation, or plan, ask and apply it."""
    project = find_project(args.project)
    runbook = find_runbook(project, args.runbook)
    system = find_system(project, args.system)
    find_declaration(system, runbook)
    variables = parameters(args.param)
    _check_variables(variables, args)
    if args.mitigation:
        variables["mitigation"] = find_mitigation(runbook, args.mitigation).name
    what = args.mitigation or "diagnose"
    asked = _asked(
        args,
        project,
        runbook.name,
        system,
        where=(_overlays(args), args.limit),
        variables=variables,
        what=what,
    )
    return _go(asked, changing=bool(args.mitigation))


def undo(args: argparse.Namespace) -> int:
    """`runbook undo RUN`: plan to take a run's changes back; with --apply, ask and do it."""
    if args.run == "last":
        args.run = _newest_change(args)
    folder, result = recorded(args)
    name = (result.get("runbook") or {}).get("name")
    if not name or not result.get("system"):
        raise UsageError(
            f"Run {folder.run} never got as far as a system: it changed nothing.",
            "list the runs: runbook runs",
        )
    project = find_project(args.project)
    runbook = find_runbook(project, name)
    system = find_system(project, result["system"])
    asked = _asked(
        args, project, runbook.name, system, where=_same_where(args, result),
        variables={"undo": folder.run}, what=f"undo of {folder.run}",
    )  # fmt: skip
    return _go(asked, changing=True)


def _newest_change(args: argparse.Namespace) -> str:
    found = newest_change(state.state_dir(args.state))
    if found is None:
        raise UsageError(
            "No recorded change is in place: there is nothing to undo.", "list the runs: runbook runs"
        )
    return found.run


def resume(args: argparse.Namespace) -> int:
    """`runbook resume RUN`: what a run was stopped in, planned again; refused when it is another plan now."""
    folder, result = recorded(args)
    _check_resumable(folder.run, result)
    project = find_project(args.project)
    runbook = find_runbook(project, result["runbook"]["name"])
    system = find_system(project, result["system"])
    variables = {**result["parameters"], "mitigation": find_mitigation(runbook, result["mitigation"]).name}
    asked = _asked(
        args, project, runbook.name, system, where=_same_where(args, result),
        variables=variables, what=f"{result['mitigation']}, resumed",
    )  # fmt: skip
    return _go(replace(asked, before=result["plan"]), changing=True)


def _check_resumable(run: str, result: Mapping[str, Any]) -> None:
    """A change that is recorded as done is never done a second time."""
    if result["mode"] != "apply" or result["plan"] is None or result["exit"]["code"] == 0:
        raise UsageError(
            f"Run {run} has nothing to resume: {result['exit']['reason']}",
            f"start anew: {commands.measure(result)}",
        )
    done = [s for s in left_changed(result) if s["status"] == "changed"]
    if done:
        raise RefusedError(
            f"{done[0]['name']!r} on {done[0]['host']} was done by run {run}; it is not done again.",
            f"diagnose: {commands.measure(result)}; or take it back: {commands.undo(result, run)}",
        )


def _check_same(before: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    now = result["plan"]
    if before["bound"] == now["bound"]:
        return
    parts = [part for part in ("parameters", "targets", "content", "commit") if before[part] != now[part]]
    raise RefusedError(
        f"The plan is not the one of the run to resume: it differs in {', '.join(parts) or 'its header'}.",
        f"look at it and start anew: {commands.mitigate(result, result['mitigation'])}",
    )


def _check_variables(variables: Mapping[str, Any], args: argparse.Namespace) -> None:
    for name in _RESERVED:
        if name in variables:
            raise UsageError(
                f"--param {name} is not a parameter of a mitigation.", f"use --{name} where it exists"
            )
    if args.apply and not args.mitigation:
        raise UsageError(
            "--apply without --mitigation: there is nothing to apply.", "name it: --mitigation NAME"
        )
    if variables and not args.mitigation:
        raise UsageError(
            "--param without --mitigation: parameters belong to one.", "name it: --mitigation NAME"
        )


def _asked(
    args: argparse.Namespace,
    project: Project,
    runbook: str,
    system: System,
    *,
    where: tuple[tuple[Path, ...], str],
    variables: dict[str, Any],
    what: str,
) -> Asked:
    if args.confirm and args.confirm != system.name:
        raise RefusedError(
            f"--confirm {args.confirm} is not the name of the system; nothing was changed.",
            f"if you mean it: --confirm {system.name}",
        )
    for path in (args.junit, args.report):
        if path:
            check_path(Path(path), report=path == args.report)
    records = state.state_dir(args.state)
    _check_state(records)
    overlays, limit = where
    declared = system.runbooks.get(runbook)
    minutes = declared.recovery_minutes if declared else None
    request = Request(
        project,
        project.playbook(runbook),
        (system.folder, *overlays),
        records,
        variables,
        # The engine's first play runs on localhost: without it a limited run would never be opened.
        limit=f"{limit},localhost" if limit else "",
        timeout=args.timeout,
        given=_given(args),
    )
    console = make_console(stderr=args.json)
    return Asked(args, request, system, minutes * 60 if minutes else None, what, console)


def _check_state(where: Path) -> None:
    """Refuse a state folder that nothing can be recorded in, before anything is run: StateError."""
    runs = where / "runs"
    try:
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=runs).close()
    except OSError as error:
        raise state.unusable(where, error) from error


def _overlays(args: argparse.Namespace) -> tuple[Path, ...]:
    return tuple(_inventory(given) for given in args.inventory)


def _same_where(args: argparse.Namespace, result: Mapping[str, Any]) -> tuple[tuple[Path, ...], str]:
    """Return overlays and limit of a recorded run: its undo and its resumption go where it went."""
    used = commands.overlays(result)
    given = [str(path) for path in _overlays(args)]
    if given and given != used:
        raise RefusedError(
            f"Run {result['run']} used {_listed(used)}, not {_listed(given)}; nothing was changed.",
            "leave out --inventory: the inventories of the run are used",
        )
    return tuple(_inventory(path) for path in used), args.limit or result["asked"].get("limit") or ""


def _listed(overlays: list[str]) -> str:
    return " ".join(f"--inventory {path}" for path in overlays) or "no overlay"


def _inventory(given: str) -> Path:
    path = Path(given).expanduser().absolute()
    if not path.exists():
        raise UsageError(f"There is no inventory {path}.", "name a folder or file that exists")
    return path


def _given(args: argparse.Namespace) -> dict[str, str]:
    named = {"project": args.project, "state": args.state}
    return {what: str(Path(path).expanduser().absolute()) for what, path in named.items() if path}


def _go(asked: Asked, changing: bool) -> int:
    args = asked.args
    if not changing:
        return _finish(asked, _execute(asked, asked.request, "diagnose"))
    interactive = sys.stdin.isatty() and not args.no_input
    if args.apply and not args.confirm and not interactive:
        raise RefusedError(
            "Nobody can be asked here, and --confirm is missing; nothing was changed.",
            f"if you mean it: --confirm {asked.system.name}",
        )
    plan = _execute(asked, replace(asked.request, check=True), f"plan: {asked.what}")
    # Whoever interrupts a plan does not want what comes after it, also when the plan was complete by then.
    if not args.apply or plan.stopped or plan.result is None or plan.result["exit"]["name"] != "planned":
        return _finish(asked, plan)
    print_result(asked.console, plan.result, verdict=False)
    if asked.before is not None:
        _check_same(asked.before, plan.result)
    _check_approved(asked, plan.result)
    if not args.confirm:
        _ask(asked)
    confirmed = {"confirm": asked.system.name, "plan_digest": plan.result["plan"]["digest"]}
    if args.break_glass:
        confirmed["break_glass"] = args.break_glass
    request = replace(asked.request, variables={**asked.request.variables, **confirmed})
    return _finish(asked, _execute(asked, request, f"apply: {asked.what}"))


def _check_approved(asked: Asked, plan: Mapping[str, Any]) -> None:
    """Before anybody types a name: the gate would refuse it anyway."""
    if asked.args.break_glass or not (plan["approval"] or {}).get("required"):
        return
    given = approval.load(asked.request.state, plan["plan"]["digest"])
    if given is None:
        raise approval.ApprovalError(
            "This needs the approval of another operator; nothing was changed.",
            f"another operator runs: {commands.about(plan, 'approve', plan['run'])}; "
            "then run this command again; in an emergency: --break-glass 'why'",
        )
    approval.check(given, plan["plan"], plan["operator"], time.time())


def _ask(asked: Asked) -> None:
    """Ask for the system's name; an end of input is a no."""
    name = asked.system.name
    asked.console.print(f"\nType {name} to do this on {asked.system.title}; anything else changes nothing.")
    # Not input(): its prompt would go to stdout, which with --json is for the result alone.
    asked.console.file.write("> ")
    asked.console.file.flush()
    given = sys.stdin.readline().strip()
    if given != name:
        raise RefusedError(
            f"{given!r} is not {name}; nothing was changed."
            if given
            else "No name given; nothing was changed.",
            "run the same command again when you are ready",
        )


def _execute(asked: Asked, request: Request, what: str) -> Outcome:
    runbook = request.playbook.stem.replace("_", "-")
    asked.console.rule(f"{asked.system.name} · {runbook} · {what}", align="left", characters="-")
    outcome = execute(request, LiveView(asked.console, asked.target_s, asked.began))
    if outcome.result is None:
        raise RunnerError(
            _unrecorded(outcome), "look at what Ansible said above; start again when it is solved"
        )
    return outcome


def _unrecorded(outcome: Outcome) -> str:
    said = outcome.damage or outcome.output.strip() or "it said nothing"
    stopped = f" It was stopped: {outcome.stopped}." if outcome.stopped else ""
    return (
        f"The run left no record that can be read, so nothing is verified.{stopped} Ansible ended with "
        + (f"{outcome.rc} and said:\n{said}\n")
    )


def _finish(asked: Asked, outcome: Outcome) -> int:
    """Print and write what came out; the code is the record's, never the runner's."""
    result, args = outcome.result, asked.args
    assert result is not None
    print_result(asked.console, result)
    if outcome.stopped:
        asked.console.print(f"Stopped: {outcome.stopped}.")
    if args.report:
        write(Path(args.report), result, asked.request.state)
        asked.console.print(f"Report: {Path(args.report).absolute()}", soft_wrap=True)
    if args.junit:
        write_junit(Path(args.junit), result)
    if args.json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    code: int = result["exit"]["code"]
    if code == 0 and outcome.rc != 0:
        # The record says green, the process that wrote it does not: that is not verified.
        return CODES["not_verified"]
    return code
