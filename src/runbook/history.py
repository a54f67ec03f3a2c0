# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How rehearsals went over time: whether they passed, and how long the way back took; text and plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from runbook_engine import proof, proof_store
from runbook_engine.ids import id_time

from runbook.output_text import seconds

_KEPT = 60
"""How many rehearsals of one fault are looked back at."""
_LATELY = 3
_STEADY = 0.1
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Point:
    """One rehearsal. `recovery_s` is None where the right end was none, or it failed before."""

    rehearsal: str
    at: str
    passed: bool
    recovery_s: float | None
    commit: str
    machine: str


@dataclass(frozen=True)
class Trend:
    """The rehearsals of one fault, the oldest first."""

    system: str
    runbook: str
    fault: str
    target_s: float
    points: tuple[Point, ...]

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(point.passed for point in self.points)

    @property
    def times(self) -> list[float]:
        """The times of recovery on the machine of the newest rehearsal: others are not comparable."""
        here = self.points[-1].machine
        return [p.recovery_s for p in self.points if p.recovery_s is not None and p.machine == here]

    @property
    def change(self) -> float | None:
        """By what part the last few took longer than those before them: 0.2 is a fifth; None = too few."""
        before, lately = self.times[:-_LATELY], self.times[-_LATELY:]
        if len(before) < _LATELY:
            return None
        return median(lately) / median(before) - 1

    @property
    def word(self) -> str:
        """The trend in words; "" when nothing can be said yet."""
        if self.change is None:
            return ""
        if abs(self.change) < _STEADY:
            return "steady"
        return f"{'slower' if self.change > 0 else 'faster'} by {abs(self.change):.0%}"

    @property
    def spark(self) -> str:
        """The times as a row of blocks; a rehearsal that failed is a cross."""
        slowest = max((p.recovery_s or 0 for p in self.points), default=0.0) or 1.0
        return "".join(_block(point, slowest) for point in self.points)


def _block(point: Point, slowest: float) -> str:
    if not point.passed:
        return "✗"
    if point.recovery_s is None:
        return "·"
    return _BLOCKS[min(len(_BLOCKS) - 1, int(point.recovery_s / slowest * len(_BLOCKS)))]


def trends(
    root: Path | None, state: Path, systems: Iterable[str], runbook: str = "", fault: str = ""
) -> list[Trend]:
    """Return the trend of every fault that was rehearsed, of `systems`, and only of `runbook` and `fault`.

    root: the project, for the rehearsals that it brings; None: only those of the state folder.
    """
    wanted = set(systems)
    listed = {found["rehearsal"]: found for name in wanted if root for found in _shipped(root, name)}
    listed |= {
        found["rehearsal"]: found for found in proof_store.rehearsals(state) if found["system"] in wanted
    }
    sorted_by: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for name in sorted(listed):
        found = listed[name]
        if runbook in ("", found["runbook"]) and fault in ("", found["fault"]):
            sorted_by.setdefault((found["system"], found["runbook"], found["fault"]), []).append(found)
    return [
        Trend(*key, float(of[-1].get("target_s") or 0), tuple(map(_point, of[-_KEPT:])))
        for key, of in sorted(sorted_by.items())
    ]


def _shipped(root: Path, system: str) -> list[dict[str, Any]]:
    try:
        return proof_store.shipped(root, system)
    except proof_store.ProofError:
        # `runbook proof` says so; a history is what can be read.
        return []


def _point(found: Mapping[str, Any]) -> Point:
    return Point(
        str(found["rehearsal"]),
        id_time(str(found["rehearsal"])).isoformat(),
        bool(found.get("passed")),
        float(found["recovery_s"]) if proof.recovered(found) else None,
        str(found.get("commit") or ""),
        str(found.get("machine") or ""),
    )


@dataclass(frozen=True)
class Dot:
    """One rehearsal in the plot; `label` says it whole."""

    x: float
    y: float
    passed: bool
    label: str


@dataclass(frozen=True)
class Plot:
    """Recovery times in the units of an SVG; `target_y` is None where the target is far above."""

    dots: list[Dot]
    line: str
    ticks: list[tuple[float, str]]
    target_y: float | None
    caption: str
    width: int = 1000
    height: int = 190


_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 16, 166


def plot(trend: Trend) -> Plot:
    """Return the plot of a trend; one that failed stands on the ground."""
    slowest = max((p.recovery_s or 0 for p in trend.points), default=0.0) or 1.0
    # A target far above every time would flatten them all: then it is named, not drawn.
    top = trend.target_s if 0 < trend.target_s <= 3 * slowest else slowest * 1.15
    dots = [_dot(point, number, len(trend.points), top) for number, point in enumerate(trend.points)]
    timed = [d for d, p in zip(dots, trend.points, strict=True) if p.recovery_s is not None]
    return Plot(
        dots,
        " ".join(f"{dot.x},{dot.y}" for dot in timed) if len(timed) > 1 else "",
        [(_height(top * part, top), seconds(top * part)) for part in (0, 0.5, 1)],
        _height(trend.target_s, top) if trend.target_s == top else None,
        _caption(trend),
    )


def _dot(point: Point, number: int, count: int, top: float) -> Dot:
    wide = 1000 - _LEFT - _RIGHT
    x = _LEFT + wide * (number / (count - 1) if count > 1 else 0.5)
    took = seconds(point.recovery_s) if point.recovery_s is not None else "no recovery"
    label = (
        f"{point.at[:16]} at {point.commit[:7] or 'no commit'}: {took}{'' if point.passed else ', FAILED'}"
    )
    return Dot(round(x, 1), _height(point.recovery_s or 0, top), point.passed, label)


def _height(value: float, top: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * min(value / top, 1), 1)


def _caption(trend: Trend) -> str:
    told = [f"{trend.passed} of {len(trend.points)} rehearsals of {trend.fault} passed"]
    if trend.target_s:
        told.append(f"the target is {seconds(trend.target_s)}")
    return "; ".join([*told, *([trend.word] if trend.word else [])]) + "."


def as_dict(trend: Trend) -> dict[str, Any]:
    """Return a trend for machines."""
    return {
        "system": trend.system,
        "runbook": trend.runbook,
        "fault": trend.fault,
        "target_s": trend.target_s,
        "passed": trend.passed,
        "change": trend.change,
        "trend": trend.word,
        "points": [vars(point) for point in trend.points],
    }


def median_s(times: Sequence[float]) -> str:
    """Return the middle of several times in words, `-` of none."""
    return seconds(median(times)) if times else "-"
