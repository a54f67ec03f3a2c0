# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one root of every domain error, written for a reader who is tired and alone."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Optional


class OncallError(Exception):
    """Something the operator has to know: what was tried, on what, what came back, what to do next.

    `kind` is a stable word for machines (snake_case); subclasses set a default.
    """

    kind = "failed"
    # Whether what was acted on may differ from before; whoever changes something sets it when it is so.
    changed = False
    # How what is left in place is taken back, in the shape of a result's `undo`.
    undo: Optional[Dict[str, Any]] = None

    def __init__(
        self, tried: str, *, on: str = "", got: str = "", next_step: str = "", kind: Optional[str] = None
    ) -> None:
        self.tried, self.on, self.got, self.next_step = tried, on, got, next_step
        if kind is not None:
            self.kind = kind
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """One paragraph: `Could not <tried> (<on>): <got>. Next: <next_step>`."""
        text = "Could not " + self.tried
        if self.on:
            text += " (%s)" % self.on
        if self.got:
            text += ": " + self.got.rstrip(".")
        text += "."
        if self.next_step:
            text += " Next: " + self.next_step.rstrip(".") + "."
        return text

    def as_dict(self) -> Dict[str, Any]:
        """The same for machines."""
        return {
            "kind": self.kind,
            "tried": self.tried,
            "object": self.on,
            "got": self.got,
            "next_step": self.next_step,
        }


class UsageError(OncallError):
    """An option has a value that cannot be used; nothing was tried on any system."""

    kind = "usage"


class UnreachableError(OncallError):
    """A server or an API did not answer."""

    kind = "unreachable"


class DeniedError(OncallError):
    """A server or an API answered that we may not."""

    kind = "denied"


class ConflictError(OncallError):
    """Somebody or something else holds or has what this action needs."""

    kind = "conflict"


class VerificationError(OncallError):
    """What was done is not what had to come out."""

    kind = "verification"
