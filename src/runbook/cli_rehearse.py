# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command `rehearse`: break a stand-in of the system and prove the runbook on it."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.text import Text
from runbook_engine import proof_store, record, state
from runbook_engine.errors import UsageError, nearest
from runbook_engine.verdict import CODES

from runbook import report_rehearsals
from runbook.catalog import find_declaration, find_runbook, find_system
from runbook.live import LiveView
from runbook.output import make_console
from runbook.output_text import clock, seconds
from runbook.project import Project, find_project
from runbook.report_write import check_path, write

_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]B)", re.IGNORECASE)
_MADE_OF = {
    "embedded": "embedded processes; --tier docker for containers",
    "docker": "containers of an engine of its own",
}
_SCALE_1 = 50e6
"""Bytes of the stand-in's database at scale 1."""


@dataclass(frozen=True)
class _Named:
    system: str
    runbook: str
    recovery_minutes: float | None


def rehearse(args: argparse.Namespace) -> int:
    """`runbook rehearse`: 0 when every stage of every rehearsal was proved, 9 when one was not."""
    project = find_project(args.project)
    for path in (args.report, args.junit):
        if path:
            check_path(Path(path), report=path == args.report)
    if args.runbook and not (args.all or args.essential):
        return _one(args, project)
    if args.fault or args.stack:
        raise UsageError(
            "--fault and --stack are for one rehearsal.",
            "name SYSTEM and RUNBOOK, without --all and --essential",
        )
    return _many(args, project)


def _one(args: argparse.Namespace, project: Project) -> int:
    from runbook.rehearsal import isolation  # noqa: PLC0415 - not needed to refuse a name

    # Before anything that takes a while to load: inside it is loaded again.
    find_declaration(find_system(project, args.system), find_runbook(project, args.runbook))
    if args.tier == "docker" and isolation.tier() != args.tier:
        return _in_containers(args.tier)
    if isolation.available() and not args.stack:
        # Again in namespaces of its own: no port, mount or process of the rehearsal is left or seen outside.
        return isolation.run([sys.executable, "-m", "runbook.cli", *sys.argv[1:]])
    wanted = _wanted(args, project)
    from runbook.rehearsal import rehearse as play  # noqa: PLC0415 - brings the servers of the stand-in with it

    console = make_console(stderr=args.json)
    # Servers and data take a while: silence would look like hanging.
    console.print(f"starting the stand-in of {args.system} ({_MADE_OF[isolation.tier()]}) …")

    def observer(phase: str) -> LiveView:
        console.rule(f"{args.system} · {args.runbook} · {phase}", align="left", characters="-")
        return LiveView(console, wanted.target_s)

    def say(stage: Any) -> None:
        mark, style = ("FAILED", "bold red") if stage.problem else ("proved", "green")
        told = " ".join((stage.problem or stage.detail).split())
        console.print(Text.assemble((mark, style), f"  {stage.name}  {seconds(stage.seconds)}  {told}"))

    score, folder = play.rehearse(wanted, observer=observer, say=say)
    report = _write_reports(args, score, folder, wanted.state)
    console.print(score.line(report), style="bold green" if score.passed else "bold red", soft_wrap=True)
    if args.json:
        sys.stdout.write(json.dumps(asdict(score), ensure_ascii=False, indent=2) + "\n")
    return 0 if score.passed else CODES["verification_failed"]


def _in_containers(tier: str) -> int:
    from runbook.rehearsal import isolation  # noqa: PLC0415
    from runbook.rehearsal.processes import StandInError  # noqa: PLC0415

    try:
        return isolation.run([sys.executable, "-m", "runbook.cli", *sys.argv[1:]], tier)
    except StandInError as error:
        raise UsageError(
            f"There are no containers here: {error}.", "rehearse without --tier docker"
        ) from None


def _many(args: argparse.Namespace, project: Project) -> int:
    """Several rehearsals, each in a process of its own; one line for each, then the table."""
    from runbook.rehearsal import cases, choice, many  # noqa: PLC0415 - brings the faults with it

    names = [find_system(project, args.system).name] if args.system else cases.systems()
    known = [(system, name) for system in names for name in cases.names(system)]
    if args.runbook:
        known = [(_case_of(args, project).system, args.runbook)]
    which = choice.ALL if args.all else choice.ESSENTIAL if args.essential else choice.DEFAULT
    wanted = choice.orders(
        known, which=which, control=args.control, abort_each=args.abort_each, undo=args.undo,
        in_turn=args.in_turn,
    )  # fmt: skip
    if not wanted:
        raise UsageError(f"There is no rehearsal of {args.system}.", "write its cases first")
    wanted = choice.longest_first(wanted, _earlier(project, state.state_dir(args.state), wanted))
    size(args.scale)
    options = ["--project", str(project.root), "--state", str(state.state_dir(args.state))]
    options += [
        "--tier",
        args.tier,
        "--scale",
        args.scale,
        *(["--postgres", args.postgres] if args.postgres else []),
    ]
    jobs = args.jobs or os.cpu_count() or 1
    console, began = make_console(stderr=args.json), time.monotonic()
    console.print(f"{len(wanted)} rehearsals, {min(jobs, len(wanted))} at a time …")

    def say(score: Mapping[str, Any]) -> None:
        mark, style = ("proved", "green") if score["passed"] else ("FAILED", "bold red")
        told = report_rehearsals.problem(score)
        name = report_rehearsals.row(score)[0]
        console.print(Text.assemble((mark, style), f"  {name}  {told}"), soft_wrap=True)

    scores = many.rehearse_all(wanted, options, jobs, say)
    passed = sum(1 for score in scores if score["passed"])
    console.print(report_rehearsals.table(scores))
    took = clock(time.monotonic() - began)
    for told in report_rehearsals.summary(scores):
        console.print(told, soft_wrap=True)
    console.print(f"It took {took}.")
    if args.report:
        report_rehearsals.write(Path(args.report), scores)
    if args.junit:
        report_rehearsals.write_junit(Path(args.junit), scores)
    if args.json:
        sys.stdout.write(json.dumps({"rehearsals": scores}, ensure_ascii=False, indent=2) + "\n")
    return 0 if passed == len(scores) else CODES["verification_failed"]


def _earlier(project: Project, where: Path, wanted: Sequence[Any]) -> dict[Any, Mapping[str, Any]]:
    """Return the newest score of each order that was rehearsed before, here or where the proofs were made."""
    declared: dict[str, list[str]] = {}
    for order in wanted:
        declared.setdefault(order.system, []).append(order.runbook)
    newest = proof_store.newest(project.root, where, declared)
    return {order: newest[order.system, order.runbook].get(order.fault, {}) for order in wanted}


def _case_of(args: argparse.Namespace, project: Project) -> _Named:
    """Return system, runbook and its declaration, every name checked."""
    runbook = find_runbook(project, args.runbook)
    system = find_system(project, args.system)
    declared = find_declaration(system, runbook)
    from runbook.rehearsal import cases  # noqa: PLC0415

    known = cases.names(system.name)
    if runbook.name not in known:
        raise UsageError(
            f"There is no rehearsal of {runbook.name} for {system.name}. {nearest(runbook.name, known)}",
            "choose one",
        )
    return _Named(system.name, runbook.name, declared.recovery_minutes)


def _wanted(args: argparse.Namespace, project: Project) -> Any:
    """What to rehearse, with every name checked."""
    named = _case_of(args, project)
    scale = size(args.scale) / _SCALE_1
    from runbook.rehearsal import cases, stack  # noqa: PLC0415
    from runbook.rehearsal.score import TARGET_S  # noqa: PLC0415
    from runbook.rehearsal.wanted import Wanted  # noqa: PLC0415

    faults = [fault.name for fault in cases.find(named.system, named.runbook).symptoms]
    if args.fault and args.fault not in faults:
        raise UsageError(
            f"There is no fault {args.fault!r} of {named.runbook}. {nearest(args.fault, faults)}",
            "choose one",
        )
    return Wanted(
        project,
        named.system,
        named.runbook,
        state.state_dir(args.state),
        args.fault,
        stack.Options(args.postgres, scale),
        (named.recovery_minutes or TARGET_S / 60) * 60,
        args.control,
        args.undo,
        args.abort_each,
        args.in_turn,
        args.in_steps,
        args.straight,
        Path(args.stack).absolute() if args.stack else None,
    )


def size(text: str) -> float:
    """Return bytes of a size such as `50MB` or `1.5 GB`."""
    found = _SIZE.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise UsageError(f"--scale {text!r} is not a size.", "write it as 50MB or 1GB")
    return float(found[1]) * _UNITS[found[2].upper()]


def _write_reports(args: argparse.Namespace, score: Any, folder: Path, where: Path) -> Path:
    """Write the report of the run that counts, the applied one, with the stages of the rehearsal."""
    if args.junit:
        report_rehearsals.write_junit(Path(args.junit), [asdict(score)])
    report = Path(args.report).absolute() if args.report else folder / "report.html"
    results = [record.read(state.existing_run(where, run)) for run in score.runs]
    applied = [r for r in results if r["mode"] == "apply"] or results
    if not applied:
        return folder / "rehearsal.json"
    write(report, applied[-1], where, rehearsal=asdict(score))
    return report
