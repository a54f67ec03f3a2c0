# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command `runbook`: parse, dispatch, and one exit code for everything that can happen."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence

from runbook_engine.errors import EngineError
from runbook_engine.verdict import CODES

from runbook.errors import exit_code
from runbook.options import parse_args
from runbook.output_text import near

# Loaded when used: `list` and `show` answer before ansible-runner would be imported.
_COMMANDS = {
    "list": ("runbook.cli_read", "list_runbooks"),
    "show": ("runbook.cli_read", "show_runbook"),
    "runs": ("runbook.cli_read", "list_runs"),
    "show-run": ("runbook.cli_read", "show_run"),
    "report": ("runbook.cli_read", "write_report"),
    "triage": ("runbook.cli_run", "run"),
    "run": ("runbook.cli_run", "run"),
    "undo": ("runbook.cli_run", "undo"),
    "resume": ("runbook.cli_run", "resume"),
    "approve": ("runbook.cli_audit", "approve"),
    "audit": ("runbook.cli_audit", "audit"),
    "lock": ("runbook.cli_lock", "lock"),
    "coverage": ("runbook.cli_coverage", "coverage"),
    "history": ("runbook.cli_history", "history"),
    "doctor": ("runbook.cli_doctor", "doctor"),
    "proof": ("runbook.cli_proof", "proof"),
    "rehearse": ("runbook.cli_rehearse", "rehearse"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        args = parse_args(given)
        module, function = _COMMANDS[args.command]
        code: int = getattr(importlib.import_module(module), function)(args)
        sys.stdout.flush()
        return code
    except EngineError as error:
        _tell(error, "--json" in given)
        return exit_code(error)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped by the operator; nothing was changed.\n")
        return CODES["aborted"]
    except BrokenPipeError:
        # The reader (head, less) has enough. Without this, Python complains again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CODES["aborted"]


def _tell(error: EngineError, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False) + "\n")
    sys.stderr.write(f"runbook: {error.reason}\n")
    if error.next_step:
        sys.stderr.write(f"  Next: {near(error.next_step)}\n")


if __name__ == "__main__":
    sys.exit(main())
