"""Run variants in turn, A B A B …, and compare their medians: ratios hold where the speed drifts."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Variant:
    """One way to do the work: `run` is timed, `before` is not (it makes the next run equal to the last)."""

    name: str
    run: Callable[[], object]
    before: Callable[[], object] = lambda: None
    seconds: list[float] = field(default_factory=list)

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
            variant.run()
            took = time.monotonic() - start
            if round_number >= 0:
                variant.seconds.append(took)
            print(f"  {variant.name}: {took:.2f} s", flush=True)


def table(variants: Sequence[Variant], targets: Sequence[Target]) -> tuple[str, bool]:
    """Return Markdown tables of medians and of promises with their ratios, and whether all are kept."""
    by_name = {v.name: v for v in variants}
    lines = ["| variant | median s | min s | max s |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {v.name} | {v.median:.2f} | {min(v.seconds):.2f} | {max(v.seconds):.2f} |"
        for v in variants
        if v.seconds
    ]
    kept = True
    if targets:
        lines += ["", "| promise | ratio | limit | kept |", "| --- | --- | --- | --- |"]
    for target in targets:
        ratio = by_name[target.variant].median / by_name[target.of].median
        kept &= ratio <= target.limit
        verdict = "yes" if ratio <= target.limit else "**no**"
        lines.append(f"| {target.variant} / {target.of} | {ratio:.2f} | {target.limit:.2f} | {verdict} |")
    return "\n".join(lines), kept
