# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command `rehearse`: break a stand-in of the system and prove the runbook on it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text
from runbook_engine import record, state
from runbook_engine.errors import UsageError, nearest
from runbook_engine.verdict import CODES

from runbook.catalog import find_declaration, find_runbook, find_system
from runbook.live import LiveView
from runbook.output import make_console
from runbook.output_text import seconds
from runbook.project import find_project
from runbook.report_write import check_path, write, write_junit

_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]B)", re.IGNORECASE)
_SCALE_1 = 50e6
"""Bytes of the stand-in's database at scale 1."""


def rehearse(args: argparse.Namespace) -> int:
    """`runbook rehearse`: 0 when every stage was proved, 9 when one was not."""
    wanted = _wanted(args)
    from runbook.rehearsal import isolation  # noqa: PLC0415 - brings the servers of the stand-in with it
    from runbook.rehearsal import rehearse as play  # noqa: PLC0415

    if isolation.available():
        # Again in namespaces of its own: no port, mount or process of the rehearsal is left or seen outside.
        return isolation.run([sys.executable, "-m", "runbook.cli", *sys.argv[1:]])
    console = make_console(stderr=args.json)
    # Servers and data take a while: silence would look like hanging.
    console.print(f"starting the stand-in of {args.system} …")

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


def _wanted(args: argparse.Namespace) -> Any:
    """What to rehearse, with every name checked."""
    project = find_project(args.project)
    runbook = find_runbook(project, args.runbook)
    system = find_system(project, args.system)
    declared = find_declaration(system, runbook)
    for path in (args.report, args.junit):
        if path:
            check_path(Path(path), report=path == args.report)
    scale = size(args.scale) / _SCALE_1
    from runbook.rehearsal import cases, stack  # noqa: PLC0415
    from runbook.rehearsal import rehearse as play  # noqa: PLC0415

    known = cases.names(system.name)
    if runbook.name not in known:
        raise UsageError(
            f"There is no rehearsal of {runbook.name} for {system.name}. {nearest(runbook.name, known)}",
            "choose one",
        )
    faults = [fault.name for fault in cases.find(system.name, runbook.name).symptoms]
    if args.fault and args.fault not in faults:
        raise UsageError(
            f"There is no fault {args.fault!r} of {runbook.name}. {nearest(args.fault, faults)}", "choose one"
        )
    return play.Wanted(
        project,
        system.name,
        runbook.name,
        state.state_dir(args.state),
        args.fault,
        stack.Options(args.postgres, scale),
        (declared.recovery_minutes or play.TARGET_S / 60) * 60,
        args.control,
    )


def size(text: str) -> float:
    """Return bytes of a size such as `50MB` or `1.5 GB`."""
    found = _SIZE.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise UsageError(f"--scale {text!r} is not a size.", "write it as 50MB or 1GB")
    return float(found[1]) * _UNITS[found[2].upper()]


def _write_reports(args: argparse.Namespace, score: Any, folder: Path, where: Path) -> Path:
    """Write the report of the run that counts, the applied one, with the stages of the rehearsal."""
    report = Path(args.report).absolute() if args.report else folder / "report.html"
    results = [record.read(state.existing_run(where, run)) for run in score.runs]
    applied = [r for r in results if r["mode"] == "apply"] or results
    if not applied:
        return folder / "rehearsal.json"
    write(report, applied[-1], where, rehearsal=asdict(score))
    if args.junit:
        write_junit(Path(args.junit), applied[-1])
    return report
