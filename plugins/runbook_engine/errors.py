# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the engine refuses, said for a reader who is tired and alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class EngineError(Exception):
    """Root of what the engine refuses: `reason` says what is wrong, `next_step` what to do about it.

    `kind` is a stable word for machines; subclasses set it.
    """

    kind = "failed"

    def __init__(self, reason: str, next_step: str = "") -> None:
        self.reason, self.next_step = reason, next_step
        super().__init__(f"{reason} Next: {next_step}" if next_step else reason)

    def as_dict(self) -> dict[str, Any]:
        """The same for machines: `kind`, `reason`, `next_step`."""
        return {"kind": self.kind, "reason": self.reason, "next_step": self.next_step}


class UsageError(EngineError):
    """A name or an option that does not exist or cannot be used."""

    kind = "usage"


class StateError(EngineError):
    """The state folder cannot be used."""

    kind = "state"


class Refused(EngineError):  # noqa: N818 - a decision, not an error
    """The gate stays shut; nothing was changed. `kind` names the rule."""

    def __init__(self, kind: str, reason: str, next_step: str) -> None:
        super().__init__(reason, next_step)
        self.kind = kind


class RecordError(EngineError):
    """A record is not what was written. `event` is the number (from 1) of the first bad event."""

    kind = "record"

    def __init__(self, reason: str, next_step: str = "", event: int | None = None) -> None:
        super().__init__(reason, next_step)
        self.event = event

    def as_dict(self) -> dict[str, Any]:
        """The same for machines, with `event`."""
        return {**super().as_dict(), "event": self.event}


def nearest(given: str, valid: Iterable[str]) -> str:
    """Return a sentence that lists the valid names, the nearest first when one is near."""
    names = sorted(set(valid))
    if not names:
        return "There are none."
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    listed = "Valid: " + ", ".join(names) + "."
    return f"Did you mean {near[0]}? {listed}" if near else listed
