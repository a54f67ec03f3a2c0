"""A long record, verified: every hash, the result that follows from the events, and its file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from runbook_engine import chain, record, state
from runbook_engine.reduce import reduce

from tests.benchmarks.measure import Bench, Variant, Within

EVENTS = 100_000
VERIFIED = f"record of {EVENTS:,} events verified"
_AT = "2026-11-21T03:00:00.000Z"
_HEADER = {
    "name": "long",
    "title": "Long",
    "summary": "Many steps.",
    "severity": "SEV-1",
    "group": "database",
}


def _events(run: str) -> Iterator[tuple[str, dict[str, object]]]:
    yield "run.started", {"run": run, "runbook": _HEADER, "playbook": "long.yml", "options": []}
    for number in range(1, (EVENTS - 2) // 2 + 1):
        step = {"step": number, "host": "roost-prod", "name": "Measure the database", "phase": "diagnose"}
        yield "step.started", {**step, "effect": "read", "action": "oncall.runbooks.postgres_health"}
        yield "step.finished", {**step, "status": "ok", "changed": False, "duration_s": 0.1}
    yield "run.finished", {"ended": "finished", "hosts": {}}


def write(folder: state.RunFolder) -> None:
    """Write a finished record without waiting for the disk at every event."""
    head, lines = chain.genesis(folder.run), []
    for kind, data in _events(folder.run):
        line, head = chain.seal(head, _AT, kind, data)
        lines.append(line)
    folder.events.write_bytes(b"".join(lines))
    events, head = chain.read_events(folder.events, folder.run)
    result = reduce(events, head)
    folder.result.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n")


def _verify(folder: state.RunFolder) -> None:
    if record.verify(folder).events != EVENTS:
        raise RuntimeError("not every event was verified")


@contextlib.contextmanager
def section(scratch: Path) -> Iterator[Bench]:
    """The verification that `audit` does."""
    folder = state.create_run(scratch / "state")
    write(folder)
    yield Bench([Variant(VERIFIED, lambda: _verify(folder))], [Within(VERIFIED, 2.0)])
