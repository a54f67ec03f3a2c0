# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small words of every screen: times, statuses, how a reader sees a value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

STATUS_STYLE = {
    "ok": "green",
    "changed": "cyan",
    "warn": "yellow",
    "ignored": "yellow",
    "unknown": "yellow",
    "rescued": "yellow",
    "fail": "bold red",
    "failed": "bold red",
    "unreachable": "bold red",
    "skipped": "dim",
}
SEVERITY_ORDER = ("fail", "unknown", "warn", "ok")
"""Statuses of findings, the ones that matter first."""


def clock(elapsed_s: float) -> str:
    """Return seconds as `00:42`, or `1:02:03` from an hour on."""
    whole = max(0, int(elapsed_s))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes:02}:{left:02}"


def seconds(value: float | None) -> str:
    """Return a duration with its unit: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`; `-` when unknown."""
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, left = divmod(round(value), 60)
    if minutes < 120:
        return f"{minutes} min {left} s" if left else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` characters."""
    return text if len(text) <= width else text[: max(1, width - 1)].rstrip() + "…"


def near(text: str) -> str:
    """Return `text` with paths below the current folder as they are typed here."""
    return text.replace(f" {Path.cwd()}/", " ")


def readable(value: Any) -> str:
    """Return any recorded value as a text: lists with commas, mappings as `key value; …`, one line each."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{label} {text}" for label, text in fact_rows(value))
    if isinstance(value, list | tuple):
        nested = any(isinstance(item, Mapping) for item in value)
        return ("\n" if nested else ", ").join(readable(item) for item in value)
    return str(value)


def fact_rows(value: Any) -> list[tuple[str, str]]:
    """Return a recorded mapping as label and text, with units by name; empty ones are left out."""
    if not isinstance(value, Mapping):
        return [("", readable(value))]
    return [_fact(str(k), v) for k, v in value.items() if v is not None and v not in ("", [], {})]


def _fact(name: str, value: Any) -> tuple[str, str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and name.endswith("_s"):
        return name[:-2].replace("_", " "), seconds(value)
    if number and (name.endswith(("size", "bytes")) or name == "free"):
        return name.replace("_", " "), size(value)
    return name.replace("_", " "), readable(value)


def size(number: float) -> str:
    """Return bytes for a reader, in decimal units: `213.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def exit_style(code: int) -> str:
    """Return the style of an exit code: green only for 0."""
    return {0: "bold green", 1: "bold yellow", 3: "bold cyan"}.get(code, "bold red")


def exit_tone(code: int) -> str:
    """Return what kind of news an exit code is: `ok` only for 0."""
    return {0: "ok", 1: "warn", 3: "info"}.get(code, "bad")


def is_formality(action: str, status: str) -> bool:
    """Whether a step that went well only led to others: it called a role, or checked a role's arguments."""
    name = action.rsplit(".", 1)[-1]
    return status == "ok" and name in ("include_role", "include_tasks", "validate_argument_spec")
