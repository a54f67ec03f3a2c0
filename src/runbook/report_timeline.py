# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The timeline of a run as geometry: bars, phase bands and ticks in the units of an SVG of fixed width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_engine.ids import parse_timestamp

from runbook.output_text import seconds, shorten

WIDTH = 1000
LEFT = 440
RIGHT = 80
ROW = 24
TOP = 34
_NAME_CHARS = 54
_MIN_BAR = 3.0
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_TICKS = 7


@dataclass(frozen=True)
class Bar:
    """One step on one host; `label` is its duration."""

    x: float
    y: float
    width: float
    phase: str
    status: str
    name: str
    full: str
    label: str


@dataclass(frozen=True)
class Band:
    """The rows of one phase."""

    phase: str
    y: float
    height: float


@dataclass(frozen=True)
class Timeline:
    """Everything that is drawn. `ticks` are pairs of x and label."""

    bars: list[Bar]
    bands: list[Band]
    ticks: list[tuple[float, str]]
    height: float
    width: int = WIDTH
    left: int = LEFT
    right: int = WIDTH - RIGHT


def draw(steps: list[Mapping[str, Any]], started_at: str | None, duration_s: float | None) -> Timeline:
    """Return the timeline of `steps`, as the result lists them; empty without steps."""
    if not steps or not started_at:
        return Timeline([], [], [], 0)
    begin = parse_timestamp(started_at)
    spans = [
        ((parse_timestamp(s["started_at"]) - begin).total_seconds(), s["duration_s"] or 0.0) for s in steps
    ]
    total = max(duration_s or 0.0, *(start + length for start, length in spans), 0.001)
    scale = (WIDTH - LEFT - RIGHT) / total
    hosts = {s["host"] for s in steps}
    bars = [
        _bar(step, TOP + number * ROW, start * scale, length * scale, len(hosts) > 1)
        for number, (step, (start, length)) in enumerate(zip(steps, spans, strict=True))
    ]
    return Timeline(bars, _bands(steps), _ticks(total, scale), TOP + len(steps) * ROW + 8)


def _bar(step: Mapping[str, Any], y: float, x: float, width: float, name_host: bool) -> Bar:
    name = f"{step['name']} ({step['host']})" if name_host else step["name"]
    label = seconds(step["duration_s"]) if step["status"] != "started" else "not finished"
    if step["effect"] == "irreversible" and step["changed"]:
        label += ", irreversible"
    full = f"{step['name']} on {step['host']}: {step['status']}, {label}"
    return Bar(
        round(LEFT + x, 1), y, round(max(width, _MIN_BAR), 1), step["phase"] or "other", step["status"],
        shorten(name, _NAME_CHARS), full, label,
    )  # fmt: skip


def _bands(steps: list[Mapping[str, Any]]) -> list[Band]:
    bands: list[Band] = []
    for number, step in enumerate(steps):
        phase = step["phase"] or "other"
        if bands and bands[-1].phase == phase:
            last = bands.pop()
            bands.append(Band(phase, last.y, last.height + ROW))
        else:
            bands.append(Band(phase, TOP + number * ROW, ROW))
    return bands


def _ticks(total: float, scale: float) -> list[tuple[float, str]]:
    every = next((step for step in _STEPS_S if total / step <= _MOST_TICKS), total)
    count = int(total / every)
    return [(round(LEFT + i * every * scale, 1), _tick(i * every)) for i in range(count + 1)]


def _tick(at: float) -> str:
    return "0" if at == 0 else seconds(at) if at >= 120 or at % 1 else f"{at:.0f} s"
