# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The screens of `list`, `show` and `runs`, for 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from runbook_engine import proof
from runbook_engine.proof import Standing

from runbook.catalog import Catalog
from runbook.catalog_runbooks import Escalation, Mitigation, Runbook
from runbook.catalog_systems import Declaration, System
from runbook.output_text import exit_style, seconds
from runbook.proofs import STYLE, Standings

_EFFECT_STYLE = {"read": "green", "change": "yellow", "irreversible": "bold red"}


def make_console(stderr: bool = False) -> Console:
    """Return the console for readers: 80 columns when it is no terminal, colours unless NO_COLOR."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_list(
    console: Console, catalog: Catalog, last: Mapping[tuple[str, str], dict[str, Any]], proofs: Standings
) -> None:
    """Print every runbook with each system that declares it, and below each how it is proved.

    last: the newest run of each pair.
    """
    rows = [_row(system, runbook, last) for system, runbook in pairs(catalog)]
    if not rows:
        console.print("No runbook here.")
        return
    wide = [max(len(cell) for cell in column) + 2 for column in zip(_COLUMNS, *rows, strict=True)]
    console.print(_line(wide, [Text(name.plain, style="bold") for name in _COLUMNS]))
    for row, (system, runbook) in zip(rows, pairs(catalog), strict=True):
        console.print(_line(wide, row))
        # Text breaks at spaces only: a name has to be typed as it stands.
        names = Text("  ".join(m.name for m in runbook.mitigations) or "none")
        for label, told in (("proof", proof_line(proofs, system, runbook)), ("mitigations", names)):
            line = Text(f"{label}: ", style="dim").append_text(Text(style="not dim").append_text(told))
            console.print(Padding(line, (0, 0, 0, 2)))


_COLUMNS = [Text(name) for name in ("SYSTEM", "RUNBOOK", "SEVERITY", "TARGET", "LAST RUN")]


def _row(
    system: System | None, runbook: Runbook, last: Mapping[tuple[str, str], dict[str, Any]]
) -> list[Text]:
    declared = system.runbooks.get(runbook.name) if system else None
    name = system.name if system else "(none)"
    severity = (declared.severity if declared else None) or runbook.severity
    told = [Text(text) for text in (name, runbook.name, severity, target(declared))]
    return [*told, _last(last.get((name, runbook.name)))]


def _line(wide: Iterable[int], cells: Iterable[Text]) -> Text:
    """One line of a table whose lines have others between them."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for width, cell in zip(wide, cells, strict=True):
        line.append_text(cell).append(" " * (width - len(cell)))
    line.rstrip()
    return line


_UNPROVED_TRIAGE = "none needed: it only measures, and changes nothing"


def proof_line(proofs: Standings, system: System | None, runbook: Runbook) -> Text:
    """Return how `runbook` is proved for `system`, in the colour of it; without a system nothing is."""
    stands = proofs.get((system.name, runbook.name)) if system else None
    if stands is None:
        return Text(_UNPROVED_TRIAGE if runbook.triages else "no system declares it, so nothing is proved")
    return Text(stands.line, style=STYLE[stands.state])


def pairs(catalog: Catalog) -> list[tuple[System | None, Runbook]]:
    """Return each runbook with each system that declares it; with None when none does."""
    made: list[tuple[System | None, Runbook]] = []
    for runbook in catalog.runbooks:
        declaring: list[System | None] = [
            s for s in catalog.systems if runbook.triages or runbook.name in s.runbooks
        ]
        made += [(system, runbook) for system in declaring or [None]]
    return made


def target(declared: Declaration | None) -> str:
    """Return the recovery target in words, `-` when there is none."""
    if declared is None or declared.recovery_minutes is None:
        return "-"
    return seconds(declared.recovery_minutes * 60)


def _last(result: Mapping[str, Any] | None) -> Text:
    if result is None:
        return Text("never", style="dim")
    code, name = result["exit"]["code"], result["exit"]["name"].replace("_", " ")
    day = (result.get("started_at") or "")[:10]
    return Text(f"{day} {name}", style=exit_style(code))


def print_show(console: Console, runbook: Runbook, system: System | None, proofs: Standings) -> None:
    """Print what `runbook` measures and can do, how it is proved, and the commands for `system`."""
    declared = system.runbooks.get(runbook.name) if system else None
    severity = (declared.severity if declared else None) or runbook.severity
    console.print(Text(f"{runbook.name}: {runbook.title}  ({severity})", style="bold"))
    console.print(Text(runbook.summary))
    if system is not None:
        _print_promise(console, system, declared)
        _print_proof(console, proofs.get((system.name, runbook.name)))
    _bullets(console, "When you see", runbook.symptoms)
    for title, sentences in (("What it measures", runbook.diagnosis), ("Likely causes", runbook.causes)):
        _bullets(console, title, sentences)
    if runbook.parameters:
        told = [f"- {_parameter(parameter)}" for parameter in runbook.parameters]
        _section(console, "What you can tell it (--param NAME=VALUE)", told)
    if runbook.mitigations:
        console.print(Text("\nWhat it can do, the cheapest first (nothing of it runs unasked)", style="bold"))
    for mitigation in runbook.mitigations:
        _print_mitigation(console, mitigation)
    _bullets(console, "The way back", runbook.rollback)
    _bullets(console, "Whom to call", (_call(step, system) for step in runbook.escalation))
    _bullets(console, "Look there, too: it may be the cause of", runbook.explains)
    _bullets(console, "The owner has to confirm", runbook.confirm_by_owner)
    _section(console, "Commands", commands(runbook, system), fold=True)


def _print_promise(console: Console, system: System, declared: Declaration | None) -> None:
    told = [f"System: {system.title}"]
    if declared is not None and declared.recovery_minutes is not None:
        told.append(f"recovery target {target(declared)}")
    if declared is not None and declared.rpo_hours is not None:
        told.append(f"data loss target {declared.rpo_hours:g} h")
    console.print(Text("; ".join(told)))


def _call(step: Escalation, system: System | None) -> str:
    """Return one line of escalation, with who plays that role in `system`."""
    who = (system.contacts.get(step.role) or "nobody is named in the inventory") if system else ""
    return f"{step.role}{f' ({who})' if who else ''}: {step.when}"


def _bullets(console: Console, title: str, sentences: Iterable[str]) -> None:
    """Print a section of sentences, nothing when there is none."""
    if told := list(sentences):
        console.print(Text(f"\n{title}", style="bold"))
        rows = Table.grid(padding=(0, 1, 0, 0))
        for sentence in told:
            rows.add_row("-", Text(sentence))
        console.print(Padding(rows, (0, 0, 0, 2)))


def _print_proof(console: Console, stands: Standing | None) -> None:
    if stands is None:
        console.print(Text(f"Proof: {_UNPROVED_TRIAGE}"))
        return
    console.print(Text(f"Proof: {stands.line}", style=STYLE[stands.state]))
    if stands.why:
        console.print(Text(f"  {stands.why}"))
        console.print(Text(f"  prove it: {proof.command(stands.system, stands.runbook)}"), soft_wrap=True)


def _section(console: Console, title: str, lines: Iterable[str], fold: bool = False) -> None:
    console.print(Text(f"\n{title}", style="bold"))
    for line in lines:
        # A command has to stay one piece for copying, also where it is longer than the screen.
        console.print(Text(f"  {line}"), soft_wrap=fold)


def _print_mitigation(console: Console, mitigation: Mitigation) -> None:
    head = Text(f"\n  {mitigation.name}", style="bold")
    head.append(f"  {mitigation.effect}", style=_EFFECT_STYLE[mitigation.effect])
    console.print(head)
    # Padding keeps a title that takes two lines from reading as two mitigations.
    console.print(Padding(Text(mitigation.title), (0, 0, 0, 4)))
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True, style="dim")
    rows.add_column()
    rows.add_row("advised when", Text(" ".join(mitigation.advised_when.split())))
    rows.add_row("because", Text(mitigation.reason))
    rows.add_row("data loss", Text(mitigation.data_loss))
    rows.add_row("undo", Text(mitigation.undo))
    rows.add_row("done by", Text(mitigation.entry_point))
    for parameter in mitigation.parameters:
        rows.add_row("parameter", Text(_parameter(parameter)))
    console.print(Padding(rows, (0, 0, 0, 4)))


def _parameter(parameter: Mapping[str, Any]) -> str:
    told = [f"{parameter['name']} ({parameter.get('type', 'str')})"]
    if parameter.get("choices"):
        told.append("one of " + ", ".join(map(str, parameter["choices"])))
    if parameter.get("required"):
        told.append("required")
    elif parameter.get("default") is not None:
        told.append(f"default {parameter['default']}")
    if parameter.get("description"):
        told.append(str(parameter["description"]))
    return "; ".join(told)


def commands(runbook: Runbook, system: System | None) -> list[str]:
    """Return the commands of every door, ready to be copied."""
    name = system.name if system else "SYSTEM"
    wrapper = f"runbook triage {name}" if runbook.triages else f"runbook run {name} {runbook.name}"
    plain = f"ansible-playbook -i inventories/{name} playbooks/{runbook.path.name}"
    if not runbook.mitigations:
        return [wrapper, plain]
    plan = runbook.mitigations[-1].name
    return [
        f"{wrapper}  # diagnose",
        f"{wrapper} --mitigation {plan}  # plan",
        f"{wrapper} --mitigation {plan} --apply  # apply",
        "runbook undo RUN --apply  # take it back",
        "",
        plain,
        f"{plain} -e mitigation={plan} --check --diff",
        f"{plain} -e mitigation={plan} -e confirm={name}",
        f"{plain} -e undo=RUN -e confirm={name}",
        "",
        f"ansible-runner run . -p playbooks/{runbook.path.name} --inventory inventories/{name}",
        f"AWX: job template of playbooks/{runbook.path.name}; survey: mitigation={plan}, confirm={name}",
    ]


def print_runs(console: Console, results: Iterable[Mapping[str, Any]]) -> None:
    """Print one line per recorded run."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column in ("RUN", "SYSTEM", "RUNBOOK", "MODE", "ENDED"):
        table.add_column(column, no_wrap=True)
    for result in results:
        ended = result["exit"]
        table.add_row(
            result["run"],
            result.get("system") or "-",
            (result.get("runbook") or {}).get("name") or "-",
            (result.get("mode") or "-") + (" (rehearsal)" if result.get("rehearsal") else ""),
            Text(ended["name"].replace("_", " "), style=exit_style(ended["code"])),
        )
    console.print(table if table.row_count else Text("No run is recorded here."))
