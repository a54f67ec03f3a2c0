# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run says to its reader, as lines of text: the same for the console, the wrapper and the report."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 80
SIGNS = {
    "ok": "✓", "changed": "✓", "warn": "!", "fail": "✗", "unknown": "?", "failed": "✗", "rescued": "✗",
    "ignored": "!", "unreachable": "✗", "skipped": "-", "started": "…",
}  # fmt: skip
_COLORS = {
    "ok": "32", "changed": "33", "warn": "33", "ignored": "33", "unknown": "35",
    "fail": "31", "failed": "31", "rescued": "31", "unreachable": "31",
}  # fmt: skip


def use_color(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether colours are wanted: on a terminal and without NO_COLOR."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and sys.stdout.isatty()


def paint(text: str, status: str, color: bool) -> str:
    """Return `text` in the colour of a status, if `color`."""
    code = _COLORS.get(status)
    return f"\033[{code}m{text}\033[0m" if color and code else text


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


def seconds(value: float | None) -> str:
    """Return a duration for a reader: `0.4 s`, `12 s`, `3 min 5 s`."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def step(name: str, host: str, status: str, duration: float | None, color: bool = False) -> list[str]:
    """Return the line of one step on one host; `failed` and the like are said in a word too."""
    word = "" if status == "ok" else status
    right = "  ".join(part for part in (word, host, seconds(duration)) if part)
    room = WIDTH - 4 - len(right)
    short = name if len(name) <= room else name[: max(room - 1, 8)] + "…"
    return [
        f"{paint(SIGNS.get(status, ' '), status, color)} {short.ljust(room)}  {paint(right, status, color)}"
    ]


def findings(found: Iterable[Mapping[str, Any]], color: bool = False) -> list[str]:
    """Return the table of findings, the worst first."""
    order = ("fail", "unknown", "warn", "ok")
    rows = sorted(found, key=lambda f: (order.index(f["status"]), f["check"], f["host"]))
    hosts = {f["host"] for f in rows}
    wide = min(max((len(f["check"]) for f in rows), default=0), 24)
    lines: list[str] = []
    for row in rows:
        where = f"{row['host']}: " if len(hosts) > 1 else ""
        head = f"{SIGNS[row['status']]} {row['status']:<7} {row['check']:<{wide}}  "
        text = paragraph(where + row["summary"], len(head), head)
        lines += [text[0].replace(head, paint(head, row["status"], color), 1), *text[1:]]
    return lines


def recommendation(advice: Mapping[str, Any]) -> list[str]:
    """Return the recommended mitigations in order, each with what it costs and how it is taken back."""
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


def plan(made: Mapping[str, Any], command: str = "") -> list[str]:
    """Return the plan screen; `command` is what applies it."""
    what = f"{made['mitigation']}: {made['title']}" if made["mitigation"] else f"take back run {made['undo']}"
    count = made.get("steps") or {}
    rows = [("plan", what), ("system", made["system"]), ("targets", ", ".join(made["targets"]))]
    if count:
        rows.append(("steps", ", ".join(f"{number} {effect}" for effect, number in count.items())))
    rows += [(k.replace("_", " "), str(v)) for k, v in made["parameters"].items()]
    rows += [("data loss", made["data_loss"]), ("undo", made["undo_how"])] if made["mitigation"] else []
    rows += [("takes back", u["summary"] or u["step"]) for u in made["undos"]]
    lines = [line for label, text in rows for line in paragraph(str(text), 13, label)]
    for predicted in made.get("predicted") or ():
        lines += _predicted(predicted)
    lines += [f"digest       {made['digest']}"]
    return [*lines, *(paragraph(command, 13, "to apply") if command else [])]


def _predicted(predicted: Mapping[str, Any]) -> list[str]:
    lines = paragraph(f"{predicted['name']} ({predicted['step'].partition('@')[2]})", 13, "predicted")
    for key, value in (predicted.get("prediction") or {}).items():
        lines += paragraph(f"{key}: {value}", 15, "")
    return [*lines, *(line for d in predicted.get("diff") or () for line in diff(d))]


def diff(change: Mapping[str, Any]) -> list[str]:
    """Return a diff as lines that begin with `-` or `+`."""
    if change.get("prepared"):
        return [f"  {line}" for line in str(change["prepared"]).splitlines()]
    old, new = (str(change.get(key) or "").splitlines() for key in ("before", "after"))
    return [f"  - {line}" for line in old if line not in new] + [
        f"  + {line}" for line in new if line not in old
    ]


def closing(result: Mapping[str, Any], folder: str) -> list[str]:
    """Return the last lines: the state, why, what to do next, where the result is."""
    end = result["exit"]
    status = {0: "ok", 1: "warn", 3: "changed"}.get(end["code"], "fail")
    word = end["name"].replace("_", " ")
    lines = paragraph(f"{word}: {end['reason']}", 2, SIGNS[status])
    if end["next_step"] not in ("", "none"):
        lines += paragraph(end["next_step"], 13, "next")
    return [
        *lines,
        f"exit         {end['code']}, after {seconds(result['duration_s'])}",
        f"result       {folder}",
    ]
