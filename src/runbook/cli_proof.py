# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`runbook proof`: what the rehearsals prove of every runbook, and whether it still holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from runbook_engine import proof as engine
from runbook_engine import proof_store, state
from runbook_engine.errors import UsageError
from runbook_engine.proof import Standing

from runbook.catalog import find_system, system_names
from runbook.output import make_console
from runbook.output_text import seconds
from runbook.project import Project, find_project
from runbook.proof_gaps import gaps
from runbook.proof_totals import lines, totals
from runbook.proofs import STYLE, Standings, known_faults, standings

_YES = {True: "yes", False: "NO", None: "-"}


def proof(args: argparse.Namespace) -> int:
    """`runbook proof [SYSTEM]`: 0 when every runbook is proved for the files that are here, else 1."""
    project = find_project(args.project)
    names = [args.system] if args.system else system_names(project)
    systems = [find_system(project, name) for name in names]
    stand = standings(project, state.state_dir(args.state), systems, faults=known_faults(systems))
    if args.save:
        _save(project, stand, names, quiet=args.json)
    for name in names:
        # Raises when it is damaged: elsewhere that only means that nothing is proved.
        proof_store.shipped(project.root, name)
    missing = gaps(project, stand.values())
    if args.json:
        listed = [
            one.as_dict()
            | {"not_shown": list(missing.get(key, ()))}
            | {"rehearsals": [_told(found) for found in one.rehearsals.values()]}
            for key, one in stand.items()
        ]
        told = {
            "project": str(project.root),
            "proved": _all_proved(stand),
            "totals": totals(stand.values()),
            "runbooks": listed,
        }
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    else:
        console = make_console()
        for key, one in stand.items():
            print_standing(console, one, missing.get(key, ()))
        console.print(Text("\n" + "\n".join(lines(totals(stand.values())))))
        console.print(Text(f"\n{summary(stand)}", style="bold green" if _all_proved(stand) else "bold red"))
    return 0 if _all_proved(stand) else 1


def _all_proved(stand: Standings) -> bool:
    return bool(stand) and all(one.state == engine.PROVED for one in stand.values())


def _told(found: Mapping[str, Any]) -> dict[str, Any]:
    """A rehearsal without the list of its files: its hash stands for it."""
    return {key: value for key, value in found.items() if key not in ("content", "faults", "stages")}


def _save(project: Project, stand: Standings, systems: Iterable[str], *, quiet: bool) -> None:
    """Write what holds for the files that are here; raise UsageError when that is nothing at all."""
    for system in systems:
        proved = [
            found
            for (name, _runbook), one in stand.items()
            for fault, found in one.rehearsals.items()
            if name == system and found.get("passed") and fault not in one.stale
        ]
        if not proved:
            raise UsageError(
                f"Nothing is proved for {system} as it is here, so there is nothing to save.",
                f"rehearse it: runbook rehearse {system} --all",
            )
        path = proof_store.save(project.root, system, proved)
        if not quiet:
            sys.stdout.write(f"{len(proved)} rehearsals of {system} saved in {path}\n")


def print_standing(console: Console, one: Standing, missing: Sequence[str]) -> None:
    """Print how one runbook stands, what no rehearsal has shown, and each of its faults on a line."""
    head = Text(f"\n{one.system} · {one.runbook}  ", style="bold")
    console.print(head.append(one.line, style=STYLE[one.state]))
    if one.why:
        console.print(Text(f"  {one.why}"))
        console.print(Text(f"  prove it: {engine.command(one.system, one.runbook)}"), soft_wrap=True)
    if missing:
        console.print(Text(f"  not shown: {'; '.join(missing)}", style="yellow"), soft_wrap=True)
    if one.rehearsals:
        console.print(Padding(_faults(one), (0, 0, 0, 2)))


def _faults(one: Standing) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("fault", no_wrap=True)
    for title in ("proved", "as predicted", "undone", "kills", "recovery"):
        table.add_column(title)
    for fault, found in one.rehearsals.items():
        table.add_row(
            fault, _state(one, fault), _predicted(found), _undone(found), _kills(found), _recovery(found)
        )
    for fault in one.missing:
        table.add_row(fault, Text("never", style="red"))
    return table


def _state(one: Standing, fault: str) -> Text:
    if fault in one.failed:
        return Text("failed", style="bold red")
    return Text("stale", style="yellow") if fault in one.stale else Text("yes", style="green")


def _predicted(found: Mapping[str, Any]) -> str:
    match = found.get("predicted_matches")
    return f"{match['matched']}/{match['compared']}" if match else "-"


def _undone(found: Mapping[str, Any]) -> str:
    undone = found.get("undone")
    return undone if isinstance(undone, str) else _YES[undone]


def _kills(found: Mapping[str, Any]) -> str:
    kills = found.get("kills") or ()
    if not kills:
        return "-"
    good = found.get("nothing_left") and found.get("resumed_repeats_nothing")
    return f"{len(kills)} {'clean' if good else 'NOT CLEAN'}"


def _recovery(found: Mapping[str, Any]) -> str:
    return seconds(float(found["recovery_s"])) if engine.recovered(found) else "-"


def summary(stand: Standings) -> str:
    """Return the counts in one line."""
    count = {name: sum(one.state == name for one in stand.values()) for name in engine.STATES}
    told = ", ".join(f"{number} {name}" for name, number in count.items() if number)
    faults = f"{sum(one.passed for one in stand.values())}/{sum(one.total for one in stand.values())} faults"
    return f"{len(stand)} runbooks: {told or 'none declared'}; {faults}"
