# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`runbook coverage`: which steps of the prose runbooks are carried, and what does not map."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from runbook_engine.errors import UsageError
from runbook_engine.verdict import CODES

from runbook.catalog import find_system, system_names
from runbook.coverage import STATES, Coverage, Problem, Step, check
from runbook.output import make_console
from runbook.project import Project, find_project

_TITLES = {
    "covered": "Covered: carried by something that exists, and proved",
    "planned": "Planned: a later capability carries it",
    "not_automated": "Not automated: a person does it",
}


def coverage(args: argparse.Namespace) -> int:
    """`runbook coverage [SYSTEM]`: exit 9 when anything does not map."""
    project = find_project(args.project)
    _needs_tests(project)
    names = [args.system] if args.system else system_names(project)
    checked = [check(project, find_system(project, name), known_rehearsals(name)) for name in names]
    if args.json:
        told = {"project": str(project.root), "systems": [_as_dict(one) for one in checked]}
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    else:
        for one in checked:
            print_coverage(make_console(), one)
    return CODES["verification_failed"] if any(one.problems for one in checked) else 0


def print_coverage(console: Console, checked: Coverage) -> None:
    """Print every step by its state, then what does not map, then the counts."""
    for state in STATES:
        if checked.of(state):
            console.print(Text(f"\n{checked.system}. {_TITLES[state]}", style="bold"))
            console.print(_rows((step.id, _said(step)) for step in checked.of(state)))
    if checked.excuses:
        console.print(Text(f"\n{checked.system}. Changes that are no step", style="bold"))
        console.print(_rows((excuse.entry_point, Text(excuse.reason)) for excuse in checked.excuses))
    if checked.problems:
        console.print(Text(f"\n{checked.system}. Does not map", style="bold red"))
        for problem in checked.problems:
            console.print(_problem(problem))
    console.print(Text(f"\n{summary(checked)}", style="bold"))


def summary(checked: Coverage) -> str:
    """Return the counts in one line."""
    counts = ", ".join(f"{len(checked.of(state))} {state.replace('_', ' ')}" for state in STATES)
    bad = len(checked.problems)
    verdict = "everything maps" if not bad else f"{bad} problem{'s' if bad > 1 else ''}"
    return f"{checked.system}: {len(checked.steps)} steps: {counts}; {verdict}"


def _rows(rows: Any) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    return table


def _said(step: Step) -> Text:
    said = Text(step.meaning)
    if step.note:
        said.append(f"\n{step.note}", style="dim")
    return said


def _problem(problem: Problem) -> Text:
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return Text(f"{where}: {problem.id}: {problem.problem}\n  Next: {problem.next_step}")


def _as_dict(checked: Coverage) -> dict[str, Any]:
    counts = {"steps": len(checked.steps)} | {state: len(checked.of(state)) for state in STATES}
    return {"counts": counts, "maps": not checked.problems} | asdict(checked)


def known_rehearsals(system: str) -> dict[str, set[str]]:
    """Return the faults of each runbook of `system` that can be rehearsed."""
    # Imported late: the faults bring the stand-ins with them.
    from runbook.rehearsal import cases  # noqa: PLC0415

    return {
        name: {symptom.name for symptom in cases.find(system, name).symptoms} for name in cases.names(system)
    }


def _needs_tests(project: Project) -> None:
    if not (project.root / "tests").is_dir():
        raise UsageError(
            f"{project.root} has no tests, so nothing can be said of what is proved.",
            "name a checkout with --project FOLDER",
        )
