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
    asked: Dict[int, ProcessInfo] = {}
    left = _wait(run, host, grace, asked, clock=clock, sleep=sleep)
    killed, killed_in_words = [process.pid for process in left], [_text(process) for process in left]
    _send(killed, signal.SIGKILL)
    left = _wait(run, host, 2.0, asked, clock=clock, sleep=sleep) if killed else []
    staying = {process.pid for process in left}
    return {
        "ended": [_text(p) for p in asked.values() if p.pid not in staying],
        "killed": killed_in_words,
        "left": [_text(process) for process in left],
    }


def _wait(
    run: str,
    host: str,
    seconds: float,
    asked: Dict[int, ProcessInfo],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> List[ProcessInfo]:
    """Ask each process of the run to end, once, and wait until none is left; return those that are."""
    deadline = clock() + seconds
    while True:
        left = find(run, host)
        new = {process.pid: process for process in left if process.pid not in asked}
        alive = {process.pid for process in left} if asked else set()
        # What one that ends has just detached must end, too; what it waits for, it needs to clear up.
        new = {pid: process for pid, process in new.items() if process.parent not in alive}
        _send(list(new), signal.SIGTERM)
        asked.update(new)
        if not left or clock() >= deadline:
            return left
        sleep(_POLL)


def _send(pids: List[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _text(process: ProcessInfo) -> str:
    return "%s (process %d)" % (process.name, process.pid)
