"""Several faults at once."""

from __future__ import annotations

from collections.abc import Callable

from runbook.rehearsal.stack import Stack

Action = Callable[[Stack], None]


def all_of(*actions: Action) -> Action:
    """Return what does one thing after the other."""

    def action(stack: Stack) -> None:
        for one in actions:
            one(stack)

    return action
