"""Run variants in turn, A B A B …, and compare their medians: ratios hold where the speed drifts."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Variant:
    """One way to do the work: `run` is timed, `before` is not (it makes the next run equal to the last).

    Where not the whole of `run` counts, it returns the seconds that do.
    """

    name: str
    run: Callable[[], object]
    before: Callable[[], object] = lambda: None
    seconds: list[float] = field(default_factory=list)
    # What is told is something else than seconds: its unit.
    unit: str = "s"

    @property
    def median(self) -> float:
        """Median of the counted runs, in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Target:
    """A promise: the median of `variant` is at most `limit` times the median of `of`."""

    variant: str
    of: str
    limit: float

    @property
    def names(self) -> set[str]:
        """The variants it speaks of."""
        return {self.variant, self.of}

    def judge(self, median: Callable[[str], float]) -> tuple[str, str, str, bool]:
        """Return what is compared, what came out, the limit, and whether it is kept."""
        ratio = median(self.variant) / median(self.of)
        return f"{self.variant} / {self.of}", f"{ratio:.2f}", f"{self.limit:.2f}", ratio <= self.limit


@dataclass(frozen=True)
class Within:
    """A promise: the median of `variant` is at most `limit` seconds (with `of`: more than that of `of`)."""

    variant: str
    limit: float
    of: str = ""

    @property
    def names(self) -> set[str]:
        """The variants it speaks of."""
        return {self.variant, self.of} - {""}

    def judge(self, median: Callable[[str], float]) -> tuple[str, str, str, bool]:
        """Return what is compared, what came out, the limit, and whether it is kept."""
        spent = median(self.variant) - (median(self.of) if self.of else 0.0)
        what = f"{self.variant} minus {self.of}" if self.of else self.variant
        return what, f"{_shown(spent)} s", f"{_shown(self.limit)} s", spent <= self.limit


Promise = Target | Within


@dataclass(frozen=True)
class Bench:
    """What a section compares, and what is promised of it."""

    variants: Sequence[Variant]
    promises: Sequence[Promise] = ()


def _shown(seconds: float) -> str:
    return f"{seconds:.2f}" if abs(seconds) >= 1 else f"{seconds:.3f}"


def machine() -> str:
    """One line that says what was measured on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def run_in_turn(variants: Sequence[Variant], *, runs: int, warm_up: int = 0) -> None:
    """Run every variant `runs` times, in turn; the first `warm_up` rounds are not counted."""
    for round_number in range(-warm_up, runs):
        for variant in variants:
            variant.before()
            start = time.monotonic()
            told = variant.run()
            took = told if isinstance(told, float) else time.monotonic() - start
            if round_number >= 0:
                variant.seconds.append(took)
            print(f"  {variant.name}: {_shown(took)} {variant.unit}", file=sys.stderr, flush=True)


def table(bench: Bench) -> tuple[str, bool]:
    """Return Markdown tables of medians and of promises, and whether all of them are kept."""
    by_name = {v.name: v for v in bench.variants}
    lines = ["| variant | unit | median | min | max |", "| --- | --- | --- | --- | --- |"]
    for v in bench.variants:
        shown = " | ".join(_shown(number) for number in (v.median, min(v.seconds), max(v.seconds)))
        lines.append(f"| {v.name} | {v.unit} | {shown} |")
    promises = [p for p in bench.promises if p.names <= by_name.keys()]
    judged = [p.judge(lambda name: by_name[name].median) for p in promises]
    if judged:
        lines += ["", "| promise | measured | limit | kept |", "| --- | --- | --- | --- |"]
    for what, measured, limit, kept in judged:
        lines.append(f"| {what} | {measured} | {limit} | {'yes' if kept else '**no**'} |")
    return "\n".join(lines), all(kept for *_, kept in judged)
