# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands that a run suggests: each goes to the very hosts that the run went to, and to its record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_REHEARSAL = "rehearsal"


def overlays(result: Mapping[str, Any]) -> list[str]:
    """Return the inventories of a run beyond its system's own, as absolute paths."""
    given = (result.get("asked") or {}).get("inventories") or []
    return [path for path in given if PurePath(path).parts[-2:] != ("inventories", result["system"])]


def is_rehearsal(inventories: list[str]) -> bool:
    """Whether an inventory is the overlay of a stand-in: then nothing of the run is about the real system."""
    return any(PurePath(path).parts[-3:-1] == ("inventories", _REHEARSAL) for path in inventories)


def measure(result: Mapping[str, Any]) -> str:
    """Return the command that measures the system of `result` again."""
    return _joined("run", *_names(result), *_where(result))


def diagnose(result: Mapping[str, Any], runbook: str) -> str:
    """Return the command that diagnoses by another runbook, on the same hosts."""
    return _joined("run", result["system"] or "SYSTEM", runbook, *_where(result))


def mitigate(result: Mapping[str, Any], mitigation: str, apply: bool = False) -> str:
    """Return the command that plans `mitigation`, or applies it; the run's own keeps its parameters."""
    # A diagnosis has only parameters of the runbook, which every mitigation takes, too.
    same = result["mitigation"] in (None, mitigation)
    given = [part for k, v in result["parameters"].items() if same for part in ("--param", f"{k}={_text(v)}")]
    asked = ["--mitigation", mitigation, *given, *(["--apply"] if apply else [])]
    return _joined("run", *_names(result), *asked, *_where(result))


def undo(result: Mapping[str, Any], run: str, apply: bool = True, step: str | None = None) -> str:
    """Return the command that takes back what `run` changed; with `step` only that."""
    given = [*(["--step", step] if step else []), *(["--apply"] if apply else [])]
    return _joined("undo", run, *given, *_where(result))


def resume(result: Mapping[str, Any], run: str = "", apply: bool = False) -> str:
    """Return the command that goes on where `run` (default: the run of `result`) was stopped."""
    return _joined("resume", run or result["run"], *(["--apply"] if apply else []), *_where(result))


def about(result: Mapping[str, Any], command: str, run: str = "") -> str:
    """Return a command that only needs the record: approve, show-run, runs."""
    return _joined(command, *([run] if run else []), *_records(result))


def _names(result: Mapping[str, Any]) -> list[str]:
    return [result["system"] or "SYSTEM", (result["runbook"] or {}).get("name") or "RUNBOOK"]


def _where(result: Mapping[str, Any]) -> list[str]:
    options = [part for path in overlays(result) for part in ("--inventory", path)]
    limit = result["asked"].get("limit")
    return [*options, *(["--limit", limit] if limit else []), *_records(result)]


def _records(result: Mapping[str, Any]) -> list[str]:
    return [
        part
        for name in ("project", "state")
        if result["asked"].get(name)
        for part in (f"--{name}", result["asked"][name])
    ]


def _joined(*words: str) -> str:
    return shlex.join(("runbook", *words))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
