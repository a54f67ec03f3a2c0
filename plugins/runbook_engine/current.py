# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run that this process is part of, as the callback `record` announced it in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook_engine import chain
from runbook_engine.errors import StateError
from runbook_engine.ids import timestamp
from runbook_engine.reduce import reduce
from runbook_engine.state import RunFolder

RUN, FOLDER, PLAYBOOK, PROGRESS, PROBLEM = (
    "ONCALL_RUN_ID",
    "ONCALL_RUN_FOLDER",
    "ONCALL_RUN_PLAYBOOK",
    "ONCALL_PROGRESS",
    "ONCALL_RECORD_PROBLEM",
)


def current_run(environ: Mapping[str, str] = os.environ) -> RunFolder:
    """Return the folder of the run under way; raise StateError that says why nothing is recorded."""
    run, folder = environ.get(RUN), environ.get(FOLDER)
    if environ.get(PROBLEM):
        raise StateError(environ[PROBLEM], "make the state folder usable; nothing was changed")
    if not run or not folder or not Path(folder).is_dir():
        raise StateError(
            "The run is not recorded: the callback `record` is not on.",
            "run from the project folder, or set ANSIBLE_CONFIG to its ansible.cfg; nothing was changed",
        )
    return RunFolder(run, Path(folder))


def current_events(environ: Mapping[str, str] = os.environ) -> tuple[list[dict[str, Any]], chain.Head]:
    """Return the verified events of the run under way so far, and their head."""
    folder = current_run(environ)
    return chain.read_events(folder.events, folder.run)


def result_so_far(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the result of the run under way as if it ended now, in good order."""
    events, head = current_events(environ)
    ended = {"ended": "finished", "hosts": {}}
    return reduce(
        [*events, {"n": head.events + 1, "at": timestamp(), "type": "run.finished", "data": ended}], head
    )
