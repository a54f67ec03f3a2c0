# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line: commands, options, and errors that name the nearest valid word.

argparse of the standard library: it loads in 8 ms and adds nothing to install. Abbreviations of options are
off, so that a slip of the finger never means something.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from runbook_engine.errors import UsageError, nearest

from runbook import __version__

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of leaving the process, and says which names come near."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found wrong."""
        raise UsageError(f"{_sentence(message)}.", f"see {self.prog} --help")

    def known(self) -> list[str]:
        """Return every option of this command."""
        return [text for action in self._actions for text in action.option_strings]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = "command" if isinstance(action, argparse._SubParsersAction) else str(action.dest)
            self.error(
                f"there is no {what} {value!r}. {nearest(str(value), list(action.choices))}".rstrip(".")
            )


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line; raise UsageError for anything that cannot be meant."""
    parser, commands = _parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        command = commands.get(getattr(args, "command", None) or "", parser)
        named = unknown[0].split("=")[0]
        hint = nearest(named, command.known()) if named.startswith("-") else ""
        raise UsageError(
            f"{command.prog} does not know {named!r}. {hint}".strip(), f"see {command.prog} --help"
        )
    return args


def parameters(given: Sequence[str]) -> dict[str, Any]:
    """Return `--param name=value` options as variables; numbers, true, false and lists are read as JSON."""
    made: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not _KEY.fullmatch(name):
            raise UsageError(f"--param {text!r} is not name=value.", "write it as --param name=value")
        if name in made:
            raise UsageError(f"--param {name} is given twice.", "give it once")
        made[name] = _value(value)
    return made


def _value(text: str) -> Any:
    # Not json.loads for everything: a text such as 2026-11-20 or a key with slashes stays the text it is.
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9]\d{0,15})", text):
        return int(text)
    return text


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:]


def _parser() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="runbook",
        description="Executable, rehearsed incident runbooks: diagnose, plan, apply, verify, undo.",
        epilog="Without --mitigation nothing is changed; without --apply neither.",
    )
    parser.add_argument("--version", action="version", version=f"runbook {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    made = {
        "list": _list(commands),
        "show": _show(commands),
        "triage": _triage(commands),
        "run": _run(commands),
        "rehearse": _rehearse(commands),
        "runs": _runs(commands),
        "show-run": _show_run(commands),
        "undo": _undo(commands),
        "resume": _resume(commands),
        "approve": _approve(commands),
        "audit": _audit(commands),
        "lock": _lock(commands),
        "report": _report(commands),
        "coverage": _coverage(commands),
        "proof": _proof(commands),
        "history": _history(commands),
        "doctor": _doctor(commands),
    }
    for name, command in made.items():
        _common(command, state=name not in ("lock", "coverage"))
    return parser, made


def _common(command: Parser, state: bool) -> None:
    command.add_argument("--project", metavar="FOLDER", help="the project (default: found from here upwards)")
    command.add_argument("--json", action="store_true", help="print JSON on stdout, and nothing else there")
    if state:
        command.add_argument("--state", metavar="FOLDER", help="where records are (default: RUNBOOK_STATE)")


def _list(commands: Any) -> Parser:
    command: Parser = commands.add_parser("list", help="which runbooks exist, for which systems")
    return command


def _show(commands: Any) -> Parser:
    command: Parser = commands.add_parser("show", help="what a runbook measures, can do, and what that costs")
    command.add_argument("names", nargs="+", metavar="[SYSTEM] RUNBOOK")
    return command


def _triage(commands: Any) -> Parser:
    text = "measure the whole system, and name the runbooks for what is found"
    command: Parser = commands.add_parser("triage", help=text)
    command.add_argument("system", metavar="SYSTEM")
    _where(command)
    _outputs(command)
    command.set_defaults(
        runbook="triage", mitigation=None, param=[], apply=False, confirm=None, no_input=True
    )
    return command


def _run(commands: Any) -> Parser:
    command: Parser = commands.add_parser("run", help="diagnose; plan or apply a mitigation")
    command.add_argument("system", metavar="SYSTEM")
    command.add_argument("runbook", metavar="RUNBOOK")
    command.add_argument("--mitigation", metavar="NAME", help="plan this mitigation; with --apply, do it")
    command.add_argument(
        "--param", metavar="NAME=VALUE", action="append", default=[], help="of the mitigation"
    )
    _changing(command)
    _outputs(command)
    return command


def _undo(commands: Any) -> Parser:
    command = _of_a_run(
        commands,
        "undo",
        "plan to take a run's changes back; with --apply, do it",
        "the newest with a change in place",
    )
    command.add_argument("--step", metavar="N", help="only this step of it: its number, or number@host")
    return command


def _resume(commands: Any) -> Parser:
    return _of_a_run(
        commands, "resume", "plan what a stopped run has not done yet; with --apply, do it", "the newest"
    )


def _of_a_run(commands: Any, name: str, purpose: str, last: str) -> Parser:
    command: Parser = commands.add_parser(name, help=purpose)
    command.add_argument("run", metavar="RUN", help=f"a run id, or `last`: {last}")
    _changing(command)
    _outputs(command)
    return command


def _approve(commands: Any) -> Parser:
    command: Parser = commands.add_parser("approve", help="let another operator apply the plan of a run")
    command.add_argument("run", metavar="RUN", help="the run that made the plan")
    return command


def _audit(commands: Any) -> Parser:
    command: Parser = commands.add_parser("audit", help="prove that a record is what was written; export it")
    command.add_argument("action", choices=["verify", "export"])
    command.add_argument("run", metavar="RUN", help="a run id, or `last`")
    command.add_argument("file", metavar="FILE", nargs="?", help="of the export (default: <run>.tar.gz)")
    return command


def _lock(commands: Any) -> Parser:
    command: Parser = commands.add_parser("lock", help="who is changing a system; take the lock from a run")
    command.add_argument("action", choices=["show", "break"])
    command.add_argument("system", metavar="SYSTEM")
    command.add_argument("--reason", metavar="TEXT", help="why it is broken; the run that loses it is told")
    command.add_argument("--holder", metavar="RUN", help="break it only while this run holds it")
    command.add_argument("--confirm", metavar="SYSTEM", help="the system's name, to break it")
    command.add_argument(
        "--inventory", metavar="PATH", action="append", default=[], help="an overlay over the inventory"
    )
    return command


def _changing(command: Parser) -> None:
    command.add_argument(
        "--apply", action="store_true", help="show the plan, ask for the system's name, do it"
    )
    command.add_argument("--confirm", metavar="SYSTEM", help="the system's name, where nobody can be asked")
    command.add_argument("--break-glass", metavar="WHY", help="apply without the approval that is needed")
    command.add_argument("--override", metavar="WHY", help="apply although the runbook is not proved")
    command.add_argument("--no-input", action="store_true", help="ask nothing, as without a terminal")
    _where(command)


def _where(command: Parser) -> None:
    command.add_argument("--limit", metavar="HOSTS", default="", help="only these hosts of the group")
    command.add_argument(
        "--inventory",
        metavar="PATH",
        action="append",
        default=[],
        help="an overlay over the system's inventory",
    )
    command.add_argument(
        "--timeout", metavar="SECONDS", type=_positive, default=0.0, help="stop the run then"
    )


def _outputs(command: Parser) -> None:
    command.add_argument("--junit", metavar="FILE", help="write the steps as JUnit XML")
    command.add_argument("--report", metavar="FILE", help="write a report: .html or .md")


def _rehearse(commands: Any) -> Parser:
    command: Parser = commands.add_parser(
        "rehearse", help="break a stand-in of the system and prove the runbook"
    )
    command.add_argument("system", metavar="SYSTEM", nargs="?", help="default: every system")
    command.add_argument("runbook", metavar="RUNBOOK", nargs="?", help="default: every runbook of it")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--fault", metavar="NAME", default="", help="what to break (default: the runbook's)")
    which.add_argument("--all", action="store_true", help="every fault, one rehearsal each")
    which.add_argument(
        "--essential",
        action="store_true",
        help="each runbook's faults that a proof needs: one of each kind, and one for each mitigation",
    )
    command.add_argument(
        "--undo", action="store_true", help="take back whatever can be taken back, and compare"
    )
    command.add_argument(
        "--abort-each", action="store_true", help="kill a run at each changing step, and resume it"
    )
    command.add_argument(
        "--in-turn",
        action="store_true",
        help="with --abort-each: all on one stand-in, the run that resumes is killed next",
    )
    command.add_argument(
        "--in-steps",
        action="store_true",
        help="with --in-turn: in each step, but not after the last one, too",
    )
    command.add_argument(
        "--control", action="store_true", help="first prove that it finds nothing on a healthy system"
    )
    command.add_argument(
        "--straight",
        action="store_true",
        help="plan at once: what is found and recommended is read from its record",
    )
    command.add_argument("--jobs", metavar="N", type=int, help="at the same time (default: one a core)")
    command.add_argument("--scale", metavar="SIZE", default="50MB", help="size of the stand-in's data")
    command.add_argument("--postgres", metavar="LABEL", help="embedded, system or system-15")
    command.add_argument(
        "--stack", metavar="FILE", help="stack.json of a stand-in that is up (with SYSTEM and RUNBOOK)"
    )
    command.add_argument(
        "--tier",
        choices=("embedded", "docker"),
        default="embedded",
        help="processes, which need no right (default), or containers of an engine of its own, as root",
    )
    _outputs(command)
    return command


def _runs(commands: Any) -> Parser:
    command: Parser = commands.add_parser("runs", help="the runs that were recorded, the newest first")
    command.add_argument("--limit", metavar="N", type=int, default=20, help="how many (default: 20)")
    return command


def _show_run(commands: Any) -> Parser:
    command: Parser = commands.add_parser("show-run", help="what one run did and found")
    command.add_argument("run", metavar="RUN", help="a run id, or `last`")
    return command


def _report(commands: Any) -> Parser:
    command: Parser = commands.add_parser("report", help="write the report of a run")
    command.add_argument("run", metavar="RUN", help="a run id, or `last`")
    command.add_argument("file", metavar="FILE", nargs="?", help=".html or .md (default: <run>.html)")
    return command


def _coverage(commands: Any) -> Parser:
    command: Parser = commands.add_parser("coverage", help="which steps of the prose runbooks are carried")
    command.add_argument("system", metavar="SYSTEM", nargs="?", default="", help="default: every system")
    return command


def _proof(commands: Any) -> Parser:
    command: Parser = commands.add_parser(
        "proof", help="what the rehearsals prove, and whether it still holds"
    )
    command.add_argument("system", metavar="SYSTEM", nargs="?", default="", help="default: every system")
    command.add_argument(
        "--save", action="store_true", help="write it into the project, so that a fresh clone has it"
    )
    return command


def _history(commands: Any) -> Parser:
    command: Parser = commands.add_parser("history", help="how the rehearsals went over time")
    command.add_argument("system", metavar="SYSTEM", nargs="?", default="", help="default: every system")
    command.add_argument("runbook", metavar="RUNBOOK", nargs="?", default="", help="default: every runbook")
    return command


def _doctor(commands: Any) -> Parser:
    command: Parser = commands.add_parser(
        "doctor", help="while nothing burns: is everything there that runbooks need"
    )
    command.add_argument("system", metavar="SYSTEM", nargs="?", default="", help="default: every system")
    command.add_argument("--exit-on-issues", action="store_true", help="exit 1 when anything is missing")
    command.add_argument(
        "--inventory", metavar="PATH", action="append", default=[], help="an overlay over the inventory"
    )
    return command


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value
