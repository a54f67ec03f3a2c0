# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`runbook history`: how the rehearsals went over time."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from runbook_engine import state

from runbook.catalog import find_declaration, find_runbook, find_system, system_names
from runbook.history import Trend, as_dict, median_s, trends
from runbook.output import make_console
from runbook.output_text import seconds
from runbook.project import find_project

_WIDE = 30
"""Characters of a row of blocks: the newest ones."""


def history(args: argparse.Namespace) -> int:
    """`runbook history [SYSTEM [RUNBOOK]]`: always 0; whether it still holds is said by `runbook proof`."""
    project = find_project(args.project)
    if args.runbook:
        find_declaration(find_system(project, args.system), find_runbook(project, args.runbook))
    names = [find_system(project, args.system).name] if args.system else system_names(project)
    found = trends(project.root, state.state_dir(args.state), names, args.runbook)
    if args.json:
        sys.stdout.write(json.dumps([as_dict(trend) for trend in found], indent=2) + "\n")
        return 0
    console = make_console()
    for (system, runbook), of in groupby(found, lambda trend: (trend.system, trend.runbook)):
        print_trends(console, f"{system} · {runbook}", list(of))
    if not found:
        console.print("Nothing was rehearsed yet: runbook rehearse")
    return 0


def print_trends(console: Console, title: str, found: list[Trend]) -> None:
    """Print one runbook: each fault on a line, the oldest rehearsal on the left."""
    target = found[0].target_s
    console.print(
        Text(f"\n{title}", style="bold").append(f"  target {seconds(target)}" if target else "", "dim")
    )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("fault", no_wrap=True)
    for column in ("passed", "median"):
        table.add_column(column, no_wrap=True)
    table.add_column("recovery, the newest last", no_wrap=True, overflow="ellipsis")
    table.add_column("trend", no_wrap=True)
    for trend in found:
        count = len(trend.points)
        style = "green" if trend.passed == count else "bold red" if not trend.points[-1].passed else "yellow"
        passed = Text(f"{trend.passed}/{count}", style=style)
        table.add_row(trend.fault, passed, median_s(trend.times), trend.spark[-_WIDE:], trend.word)
    console.print(Padding(table, (0, 0, 0, 2)))
