# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run says to its reader, as lines of text: the same for the console, the wrapper and the report."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from runbook_engine.plan_text import foreseen, plan_rows
from runbook_engine.units import seconds

WIDTH = 80
SIGNS = {
    "ok": "✓", "changed": "✓", "warn": "!", "fail": "✗", "unknown": "?", "failed": "✗", "rescued": "✗",
    "ignored": "!", "unreachable": "✗", "skipped": "-", "started": "…", "would change": "✓",
}  # fmt: skip
_COLORS = {
    "ok": "32", "changed": "33", "would change": "33", "warn": "33", "ignored": "33", "unknown": "35",
    "fail": "31", "failed": "31", "rescued": "31", "unreachable": "31",
}  # fmt: skip


def use_color(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether colours are wanted: on a terminal and without NO_COLOR."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and sys.stdout.isatty()


def paint(text: str, status: str, color: bool) -> str:
    """Return `text` in the colour of a status, if `color`."""
    code = _COLORS.get(status)
    return f"\033[{code}m{text}\033[0m" if color and code else text


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` characters."""
    return text if len(text) <= width else text[: max(width - 1, 1)].rstrip() + "…"


def heading(text: str) -> str:
    """Return the line that opens a phase."""
    return f"── {text} ".ljust(WIDTH, "─")


def paragraph(text: str, indent: int = 2, first: str = "") -> list[str]:
    """Return `text` wrapped to 80 columns; `first` stands before the first line, within the indent."""
    lines: list[str] = []
    for part in str(text).splitlines() or [""]:
        start = (first if not lines else "").ljust(indent)
        lines += textwrap.wrap(part, WIDTH, initial_indent=start, subsequent_indent=" " * indent) or [""]
    return lines


def step(name: str, host: str, status: str, duration: float | None, color: bool = False) -> list[str]:
    """Return the line of one step on one host; `failed` and the like are said in a word too."""
    word = "" if status == "ok" else status
    right = "  ".join(part for part in (word, host, seconds(duration)) if part)
    room = WIDTH - 4 - len(right)
    short = shorten(name, max(room, 9))
    return [
        f"{paint(SIGNS.get(status, ' '), status, color)} {short.ljust(room)}  {paint(right, status, color)}"
    ]


def findings(found: Iterable[Mapping[str, Any]], color: bool = False, whole: bool = False) -> list[str]:
    """Return the table of findings, the worst first; the ok ones in one line each unless `whole`."""
    order = ("fail", "unknown", "warn", "ok")
    rows = sorted(found, key=lambda f: (order.index(f["status"]), f["check"], f["host"]))
    several = len({f["host"] for f in rows}) > 1
    wide = min(max((len(f["check"]) for f in rows), default=0), 24)
    lines: list[str] = []
    for row in rows:
        said = " ".join(((f"{row['host']}: " if several else "") + row["summary"]).split())
        head = f"{SIGNS[row['status']]} {row['status']:<7} {row['check']:<{wide}}  "
        short = row["status"] == "ok" and not whole
        text = [head + shorten(said, WIDTH - len(head))] if short else paragraph(said, len(head), head)
        lines += [text[0].replace(head, paint(head, row["status"], color), 1), *text[1:]]
    return lines


def _runbooks(called: list[Mapping[str, Any]]) -> list[str]:
    """Return the runbooks that a triage names, each with why."""
    if not called:
        return ["No runbook of this system fits these findings."]
    lines: list[str] = []
    for number, one in enumerate(called, 1):
        lines += paragraph(f"{one['runbook']}: {one['title']} ({one['severity']})", 4, f"{number}.")
        lines += [line for because, text in reasons(one) for line in paragraph(text, 15, f"    {because}")]
    return lines


def reasons(called: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return label and text of why a triage names a runbook: signals, evidence, what may be the cause."""
    rows = []
    for signal in called["signals"]:
        rows.append(("seen", signal["means"]))
        rows += [("by", evidence) for evidence in signal["evidence"]]
    if called["explained_by"]:
        rows.append(("maybe from", ", ".join(called["explained_by"]) + "; mend that first"))
    return rows


def recommendation(advice: Mapping[str, Any]) -> list[str]:
    """Return the recommended mitigations in order, each with what it costs and how it is taken back."""
    if "runbooks" in advice:
        return _runbooks(advice["runbooks"])
    if not advice["advised"]:
        return ["No mitigation is advised by these findings."]
    lines: list[str] = []
    for number, mitigation in enumerate(advice["advised"], 1):
        lines += paragraph(f"{mitigation['name']}: {mitigation['title']}", 4, f"{number}.")
        for label, key in (
            ("why", "reason"),
            ("effect", "effect"),
            ("data loss", "data_loss"),
            ("undo", "undo"),
        ):
            lines += paragraph(str(mitigation.get(key) or "not stated"), 15, f"    {label}")
    return lines


def plan(result: Mapping[str, Any], command: str = "") -> list[str]:
    """Return the plan screen of a run's result; `command` is what applies it."""
    lines = rows_of(plan_rows(result))
    for predicted in foreseen(result["plan"]):
        changes = [line for d in predicted.get("diff") or () for line in diff(d)]
        lines += _labelled("changes", changes)
    lines.append(f"{'digest':<13}{result['plan']['digest']}")
    return [*lines, *(_command("to apply", command) if command else [])]


def rows_of(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return labelled texts as lines; a label that repeats is said once."""
    lines, before = [], ""
    for label, text in rows:
        lines += paragraph(text, 13, "" if label == before else label)
        before = label
    return lines


def _labelled(label: str, lines: list[str]) -> list[str]:
    return [f"{label if not n else '':<13}{line.strip()}" for n, line in enumerate(lines)]


def _command(label: str, command: str) -> list[str]:
    """A command that is too long is broken as the shell lets it be, each option beside its value."""
    words = command.replace(" -e ", "\0-e ").replace(" -i ", "\0-i ").split("\0")
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 1 > WIDTH - 15:
            lines[-1] += " \\"
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}"
    return [f"{label if not n else '':<13}{line}" for n, line in enumerate(lines)]


def diff(change: Mapping[str, Any]) -> list[str]:
    """Return a diff as lines that begin with `-` or `+`."""
    if change.get("prepared"):
        return [f"  {line}" for line in str(change["prepared"]).splitlines()]
    old, new = (str(change.get(key) or "").splitlines() for key in ("before", "after"))
    return [f"  - {line}" for line in old if line not in new] + [
        f"  + {line}" for line in new if line not in old
    ]


def findings_title(result: Mapping[str, Any]) -> str:
    """Return the heading of the diagnosis: after a change, what was measured before it is no longer so."""
    changes = (result["mitigation"] or result["undo"]) and not result["check_mode"] and not result["refusal"]
    return "Measured before the change" if changes else "Findings"


def headline(result: Mapping[str, Any]) -> str:
    """Return how a run ended, in words: a failure before any change was not undone, it never happened."""
    if result["exit"]["name"] == "failed_undone" and not result.get("undone"):
        return "failed, nothing was changed"
    return str(result["exit"]["name"]).replace("_", " ")


def closing(result: Mapping[str, Any], folder: str, told: bool = False) -> list[str]:
    """Return the last lines: the state, why, what to do next (unless `told` already), where the result is."""
    end = result["exit"]
    status = {0: "ok", 1: "warn", 3: "changed"}.get(end["code"], "fail")
    lines = paragraph(f"{headline(result)}: {end['reason']}", 2, SIGNS[status])
    broken = (result["gate"] or {}).get("break_glass")
    if broken:
        lines += paragraph(f"BREAK-GLASS: nobody approved this; given reason: {broken}", 2, "!")
    overridden = (result["gate"] or {}).get("override")
    if overridden:
        lines += paragraph(f"OVERRIDE: this is not proved by a rehearsal; given reason: {overridden}", 2, "!")
    if end["next_step"] not in ("", "none") and not told:
        lines += paragraph(end["next_step"], 13, "next")
    return [
        *lines,
        f"exit         {end['code']}, after {seconds(result['duration_s'])}",
        f"result       {folder}",
    ]
