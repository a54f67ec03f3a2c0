# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which exit code an error of the command line has; `docs/exit-codes.md` says what each one means."""

from __future__ import annotations

from runbook_engine.errors import EngineError
from runbook_engine.verdict import CODES

_KINDS = {
    "usage": "usage",
    "state": "refused",
    "record": "verification_failed",
    "refused": "refused",
    "approval": "refused",
    "unreachable": "unreachable",
}


class RefusedError(EngineError):
    """A change was not confirmed: nothing was changed."""

    kind = "refused"


def exit_code(error: EngineError) -> int:
    """Return the exit code of `error`."""
    return CODES[_KINDS.get(error.kind, "failed")]
