"""Settings of PostgreSQL that keep it from starting."""

from __future__ import annotations

from pathlib import Path

from runbook.rehearsal.stack import Stack

_LINE = "shared_bufers = 128MB  # a slip of the keyboard\n"


def spoil(stack: Stack) -> None:
    """Leave a line in the settings that PostgreSQL does not know: what runs goes on, a start fails."""
    with _file(stack).open("a") as handle:
        handle.write(_LINE)


def correct(stack: Stack) -> None:
    """Take the line away."""
    file = _file(stack)
    file.write_text(file.read_text().replace(_LINE, ""))


def _file(stack: Stack) -> Path:
    return Path(stack.facts["postgres"]["data_dir"]) / "postgresql.conf"
