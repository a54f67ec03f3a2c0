"""`python -m runbook.rehearsal`: the stand-in by hand, for molecule and for working on a runbook."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from runbook.rehearsal.processes import StandInError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runbook.rehearsal", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("up", "bring the stand-in up and leave it up"), ("keep", argparse.SUPPRESS)):
        command = commands.add_parser(name, help=text)
        command.add_argument("--stack", type=Path, help="where its description goes (stack.json)")
        command.add_argument("--system", default="roost", help="whose stand-in it is; default: roost")
        command.add_argument("--postgres", help="embedded, system or system-15; default: the first that runs")
        command.add_argument("--scale", type=float, default=1.0, help="size of the data, 1 is about 50 MB")
        command.add_argument(
            "--parts", default="database,backups", help="what is started, or the runbook that it is for"
        )
        command.add_argument(
            "--disk", type=int, default=0, help="bytes of the data disk, in a namespace only"
        )
    commands.choices["keep"].add_argument("--folder", type=Path, required=True)
    for name, text in (("fault", "break it"), ("heal", "take a fault back"), ("down", "take it down")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--stack", type=Path, required=True, help="its stack.json")
        if name != "down":
            command.add_argument("fault", help="one of the names that `faults` lists")
            command.add_argument("--runbook", default="", help="whose fault it is, if two have that name")
            command.add_argument("--picture", type=Path, help="file to keep the state before the runbook in")
    commands.add_parser("faults", help="list the faults")
    rehearse = commands.add_parser("rehearse", help="break the stand-in, run the runbook, score it")
    rehearse.add_argument("system")
    rehearse.add_argument("runbook")
    rehearse.add_argument("--fault", default="", help="one of the names that `faults` lists for the runbook")
    rehearse.add_argument("--control", action="store_true", help="first prove that health is no finding")
    rehearse.add_argument("--state", type=Path, help="the state folder")
    rehearse.add_argument("--postgres", help="embedded, system or system-15; default: the first that runs")
    rehearse.add_argument("--scale", type=float, default=1.0, help="size of the data, 1 is about 50 MB")
    for name, text in (("isolated", "run a command in namespaces of its own"), ("inside", argparse.SUPPRESS)):
        commands.add_parser(name, help=text).add_argument("argv", nargs=argparse.REMAINDER)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        return _run(options)
    except StandInError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command in ("isolated", "inside"):
        return _isolated(options)
    if options.command == "rehearse":
        return _rehearse(options)
    # Imported here: the first process of a namespace needs none of it.
    from runbook.rehearsal import cases, stack  # noqa: PLC0415

    if options.command == "faults":
        for system in cases.systems():
            for runbook, fault in cases.faults(system):
                print(f"{system:10} {runbook:24} {fault.name:24} {fault.describe}")  # noqa: T201
    elif options.command == "keep":
        stack.keep(_stack_options(options), options.folder, options.stack)
    elif options.command == "up":
        made = stack.up(_stack_options(options), options.stack)
        print(f"export REHEARSAL_STACK={made.path}")  # noqa: T201
    elif options.command == "down":
        stack.down(stack.Stack(options.stack))
    else:
        there = stack.Stack(options.stack)
        case, fault = cases.locate(options.fault, there.system, options.runbook)
        there.require(case.runbook, case.needs(fault))
        fault.run(options.command, there)
        if options.picture:
            from runbook.rehearsal import outside  # noqa: PLC0415

            outside.save_picture(outside.picture(there), options.picture)
    return 0


def _stack_options(options: argparse.Namespace) -> Any:
    from runbook.rehearsal import cases, stack  # noqa: PLC0415

    system = options.system
    named = options.parts in cases.names(system)
    parts = cases.find(system, options.parts).parts if named else frozenset(options.parts.split(","))
    return stack.Options(options.postgres, options.scale, options.disk, parts, system)


def _rehearse(options: argparse.Namespace) -> int:
    from runbook_engine.state import state_dir  # noqa: PLC0415

    from runbook.project import find_project  # noqa: PLC0415
    from runbook.rehearsal import isolation, rehearse, stack, wanted  # noqa: PLC0415

    if isolation.available():
        return isolation.run([sys.executable, "-m", "runbook.rehearsal", *sys.argv[1:]])
    asked = wanted.Wanted(
        find_project(),
        options.system,
        options.runbook,
        state_dir(options.state),
        options.fault,
        stack.Options(options.postgres, options.scale),
        control=options.control,
    )
    score, folder = rehearse.rehearse(asked, say=_say)
    print(score.line(folder / "rehearsal.json"))  # noqa: T201
    return 0 if score.passed else 9


def _say(stage: Any) -> None:
    mark = "FAILED" if stage.problem else "ok"
    told = " ".join((stage.problem or stage.detail).split())[:300]
    print(f"{mark:6} {stage.seconds:6.2f} s  {stage.name}  {told}", flush=True)  # noqa: T201


def _isolated(options: argparse.Namespace) -> int:
    from runbook.rehearsal import isolation  # noqa: PLC0415

    command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if options.command == "inside":
        return isolation.be_init(command)
    if not isolation.available():
        print("no namespaces here: plain processes on free ports", file=sys.stderr)  # noqa: T201
    return isolation.run(command)


if __name__ == "__main__":
    sys.exit(main())
