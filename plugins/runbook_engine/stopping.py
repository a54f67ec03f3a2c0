# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a run or a step was stopped, in words, and where its hosts are found afterwards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook_engine.state import RunFolder
from runbook_engine.sweep import Place


def timed_out(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return `msg` and `error` of a step whose time was over."""
    period = told.get("period")
    error = {
        "kind": "timeout",
        "tried": f"end the step within {period} s",
        "object": "run_step_timeout_s of the inventory, or timeout_s of the mitigation",
        "got": "it was stopped then, with all its processes",
        "next_step": "find out what it waits for, or give it more time",
    }
    return {"msg": f"it was stopped after {period} s, its time limit ({error['object']})", "error": error}


def stop_reason(folder: RunFolder) -> dict[str, str]:
    """Return `{reason}` when whoever stopped the run left a word."""
    try:
        text = folder.stop.read_text("utf-8").strip()
    except OSError:
        return {}
    return {"reason": text} if text else {}


def place(given: Mapping[str, Any], config: str | None) -> Place:
    """Return where the hosts of this run are described; `given` are Ansible's own options."""
    return Place(
        inventories=tuple(str(path) for path in given.get("inventory") or ()),
        config=config,
        folder=_FOLDER,
        vaults=tuple(str(vault) for vault in given.get("vault_ids") or ()),
    )


_FOLDER = os.environ.get("PWD") or str(Path.cwd())
