# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The screens after a run: what was found, what is advised, the plan, the verdict, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from runbook_engine import commands, plan_text, render

from runbook.output_text import SEVERITY_ORDER, STATUS_STYLE, exit_style, near, readable, seconds

_MAX_DIFF_LINES = 60


def print_result(
    console: Console, result: Mapping[str, Any], verdict: bool = True, whole: bool = False
) -> None:
    """Print a run as it ended: findings, recommendation or plan, and the verdict unless more is to come.

    A plan stays in sight: of what was well before it, only the number is told, unless `whole`.
    """
    if result["refusal"]:
        # What was measured has no part in a refusal.
        print_verdict(console, result)
        return
    if result["findings"]:
        listed = "" if whole or result["plan"] is None else f"runbook show-run {result['run']}"
        print_findings(console, result["findings"], render.findings_title(result), well=listed)
    if result["mode"] == "diagnose":
        print_recommendation(console, result)
    elif result["plan"] is not None:
        print_plan(console, result)
    if result["verification"]["findings"]:
        print_findings(console, result["verification"]["findings"], "Verification")
    if verdict:
        print_verdict(console, result)


def print_findings(
    console: Console, findings: Iterable[Mapping[str, Any]], title: str, well: str = ""
) -> None:
    """Print findings, the worst first. `well`: the command that lists what is ok, which is then counted."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    listed = sorted(findings, key=lambda f: SEVERITY_ORDER.index(f["status"]))
    hosts = {f["host"] for f in listed}
    fine = sum(f["status"] == "ok" for f in listed) if well else 0
    # Sorted by what matters first, what is ok stands last.
    for finding in listed[: len(listed) - fine]:
        check = finding["check"] if len(hosts) == 1 else f"{finding['check']} {finding['host']}"
        status = Text(finding["status"], style=STATUS_STYLE[finding["status"]])
        summary = Text(" ".join(finding["summary"].split()))
        if finding["status"] == "ok":
            # What is well takes one line, so that what is not stays on the screen.
            summary.no_wrap, summary.overflow = True, "ellipsis"
        table.add_row(status, check, summary)
    if fine:
        counted = f"{fine} checks are ok ({well} lists them)"
        table.add_row(Text("ok", style=STATUS_STYLE["ok"]), "", counted)
    console.print(Text(f"\n{title}" + (f" on {hosts.pop()}" if len(hosts) == 1 else ""), style="bold"))
    console.print(table)


def print_recommendation(console: Console, result: Mapping[str, Any]) -> None:
    """Print what is advised, in order, with what each costs and the command that plans it."""
    _print_called(console, result)
    advised = (result["recommendation"] or {}).get("advised") or []
    if not advised:
        return
    console.print(Text("\nAdvised, the cheapest first (nothing was changed)", style="bold"))
    for number, mitigation in enumerate(advised, 1):
        console.print(Text(f"{number}. {mitigation['name']}: {mitigation['title']}", style="bold"))
        rows = Table.grid(padding=(0, 2, 0, 0))
        rows.add_column(no_wrap=True, style="dim")
        rows.add_column()
        for label, key in (
            ("because", "reason"),
            ("effect", "effect"),
            ("data loss", "data_loss"),
            ("undo", "undo"),
        ):
            rows.add_row(label, Text(readable(mitigation.get(key))))
        console.print(Padding(rows, (0, 0, 0, 3)))
        command = near(commands.mitigate(result, mitigation["name"]))
        console.print(Text(f"   plan it: {command}", style="cyan"), soft_wrap=True)


def _print_called(console: Console, result: Mapping[str, Any]) -> None:
    """Print the runbooks that a triage names, each with why and the command that diagnoses by it."""
    called = (result["recommendation"] or {}).get("runbooks")
    if called is None:
        return
    title = "Runbooks for it, causes first" if called else "No runbook of this system fits these findings"
    console.print(Text(f"\n{title} (nothing was changed)", style="bold"))
    for number, one in enumerate(called, 1):
        console.print(Text(f"{number}. {one['runbook']}: {one['title']}  ({one['severity']})", style="bold"))
        rows = Table.grid(padding=(0, 2, 0, 0))
        rows.add_column(no_wrap=True, style="dim")
        rows.add_column()
        for label, text in render.reasons(one):
            rows.add_row(label, Text(readable(text)))
        console.print(Padding(rows, (0, 0, 0, 3)))
        command = near(commands.diagnose(result, one["runbook"]))
        console.print(Text(f"   look closer: {command}", style="cyan"), soft_wrap=True)


def print_plan(console: Console, result: Mapping[str, Any]) -> None:
    """Print what would be done: where, how much of which effect, what changes, what is lost, how long."""
    plan = result["plan"]
    done = "Done" if result["exit"]["code"] == 0 else "Asked for"
    name = (
        f"undo of {plan['undo']}" if plan.get("undo") else f"{plan['mitigation']}: {plan.get('title') or ''}"
    )
    console.print(Text(f"\n{'Plan' if result['mode'] == 'plan' else done}: {name}", style="bold"))
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True, style="dim")
    rows.add_column(overflow="fold")
    before = ""
    for label, value in plan_rows(result):
        rows.add_row("" if label == before else label, Text(value))
        before = label
    console.print(Padding(rows, (0, 0, 0, 2)))
    for item in plan["predicted"]:
        _print_item(console, item)


def plan_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of a plan as label and value; what it is stands above them."""
    rows = [(label, text) for label, text in plan_text.plan_rows(result) if label != "what"]
    return [*rows, ("digest", result["plan"]["digest"])]


def _print_item(console: Console, item: Mapping[str, Any]) -> None:
    console.print(Text(f"\n  {item['name']}", style="bold"))
    for line in diff_lines(item["diff"])[:_MAX_DIFF_LINES]:
        style = {"+": "green", "-": "red"}.get(line[:1], "dim")
        console.print(Text(f"    {line}", style=style))


def diff_lines(diffs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return recorded diffs as unified lines, without the file names."""
    lines: list[str] = []
    for diff in diffs:
        if "prepared" in diff:
            lines += readable(diff["prepared"]).splitlines()
            continue
        before, after = readable(diff.get("before", "")), readable(diff.get("after", ""))
        made = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
        lines += [line for line in made if not line.startswith(("---", "+++", "@@"))]
    return lines


def _shouted(headline: str) -> str:
    """The state in capitals, what is added to it as it is: `FAILED, nothing was changed`."""
    state, comma, more = headline.partition(",")
    return state.upper() + comma + more


def print_verdict(console: Console, result: Mapping[str, Any]) -> None:
    """Print the one sentence that counts, why, and what to do next."""
    ended = result["exit"]
    line = Text("\n")
    line.append(_shouted(render.headline(result)), style=exit_style(ended["code"]))
    line.append(f"  {ended['reason']}")
    console.print(line)
    if ended["name"] == "planned":
        # The engine speaks of Ansible's options; whoever reads this has our command at hand.
        console.print(Text("Next: the same command with --apply (plans again, shows it, then asks)"))
    elif ended["next_step"] not in ("", "none"):
        # Soft: a command has to stay one piece for copying.
        console.print(Text(f"Next: {near(ended['next_step'])}"), soft_wrap=True)
    spent = seconds(result["duration_s"])
    console.print(Text(f"Run {result['run']}, {spent}", style="dim"))
