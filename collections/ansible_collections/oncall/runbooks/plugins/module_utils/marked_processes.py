# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find and end the processes of a run on this machine, by a variable that they were born with."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import os
import signal
import time
from typing import Any, Callable, Dict, List

from ansible_collections.oncall.runbooks.plugins.module_utils.probes.procfs import ProcessInfo, process_info

VARIABLE = "ONCALL_STEP"
"""`<run>/<host>` in the environment of every process that a step of a recorded run starts."""

_POLL = 0.05


def find(run: str, host: str = "", root: str = "/proc") -> List[ProcessInfo]:
    """Return the living processes of `run` (never this one), only those for `host` unless it is empty.

    Processes of other users are seen by root only. Empty where there is no /proc.
    """
    wanted = ("%s=%s/%s" % (VARIABLE, run, host)).encode()
    found: List[ProcessInfo] = []
    for name in os.listdir(root) if os.path.isdir(root) else []:
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            with open("%s/%s/environ" % (root, name), "rb") as handle:
                variables = handle.read().split(b"\0")
            marked = wanted in variables if host else any(v.startswith(wanted) for v in variables)
            info = process_info(int(name), root) if marked else None
            if info is not None:
                found.append(info)
    return sorted(found, key=lambda process: process.pid)


def end(
    run: str,
    host: str = "",
    grace: float = 25.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Dict[str, Any]:
    """End the processes of `run`: ask, wait `grace`, kill. Return `{ended, killed, left}` in words."""
    seen = {process.pid: process for process in find(run, host)}
    _send(list(seen), signal.SIGTERM)
    left = _wait(run, host, grace, clock, sleep)
    killed = [process.pid for process in left]
    _send(killed, signal.SIGKILL)
    left = _wait(run, host, 2.0, clock, sleep) if killed else []
    staying = {process.pid for process in left}
    return {
        "ended": [_text(p) for p in seen.values() if p.pid not in staying],
        "killed": [_text(seen[pid]) for pid in killed if pid in seen],
        "left": [_text(process) for process in left],
    }


def _wait(
    run: str, host: str, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> List[ProcessInfo]:
    deadline = clock() + seconds
    left = find(run, host)
    while left and clock() < deadline:
        sleep(_POLL)
        left = find(run, host)
    return left


def _send(pids: List[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _text(process: ProcessInfo) -> str:
    return "%s (process %d)" % (process.name, process.pid)
