"""The commands that answer from files alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import commands
from tests.benchmarks.measure import Bench, Variant, Within

LIMIT_S = 0.3


@contextlib.contextmanager
def section(scratch: Path) -> Iterator[Bench]:
    """`runbook list` and `runbook show`."""
    environment = {"RUNBOOK_STATE": str(scratch / "state")}

    def variant(*arguments: str) -> Variant:
        command = [commands.program("runbook"), *arguments]
        return Variant(f"runbook {' '.join(arguments)}", lambda: commands.run(command, environment))

    variants = [variant("list"), variant("show", commands.RUNBOOK)]
    yield Bench(variants, [Within(v.name, LIMIT_S) for v in variants])
