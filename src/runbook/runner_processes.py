# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find and end every process that a run started, also those that left its process group."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_PROC = Path("/proc")
_POLL_S = 0.05


def marked(mark: str) -> list[int]:
    """Return the processes (never this one) whose environment holds `mark`, such as `RUNBOOK_MARK=x`.

    Workers of Ansible and the masters of SSH connections make sessions of their own: a process group does not
    find them, the environment they were born with does. Empty where there is no /proc.
    """
    wanted = mark.encode()
    found: list[int] = []
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def interrupt(mark: str) -> None:
    """Ask the oldest marked process, ansible-playbook itself, to stop and tidy up."""
    processes = marked(mark)
    if processes:
        _send(min(processes), signal.SIGINT)


def end_all(mark: str, grace_s: float) -> list[int]:
    """End every marked process: ask, wait `grace_s` seconds, kill. Return those that had to be killed."""
    for pid in marked(mark):
        _send(pid, signal.SIGTERM)
    left = wait_gone(mark, grace_s)
    for pid in left:
        _send(pid, signal.SIGKILL)
    wait_gone(mark, grace_s)
    return left


def wait_gone(mark: str, seconds: float) -> list[int]:
    """Wait until no marked process is left, at most `seconds`; return the ones that still are."""
    deadline = time.monotonic() + seconds
    left = marked(mark)
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = marked(mark)
    return left


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
