"""What a stack is made of: one file per part, each with `launch`, `wait_ready`, `describe` and `stop`."""

from __future__ import annotations

from typing import Any, Protocol

from runbook.rehearsal import isolation
from runbook.rehearsal.processes import accepts_connections


class Part(Protocol):
    """Something of a stack that runs."""

    def launch(self) -> None:
        """Start it; what it needs a while for can be used for something else."""

    def wait_ready(self) -> None:
        """Wait until it can be used; the database is up by then. Raises StandInError."""

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says about it."""

    def stop(self) -> None:
        """End it; the guard does the same when nobody can call this."""


def production_port(port: int) -> int:
    """Return the production's port where it is free to take (a namespace of our own), else 0 for any."""
    return port if isolation.mode() == "namespace" and not accepts_connections(port) else 0
