# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run on this controller knows of its own lock, without asking the target.

The keeper writes `lock.json` into the run's folder after each renewal, and `lock.lost` once the lock can no
longer be relied on. Whoever is about to change something asks `why_lost`, which reads one small file.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from runbook_engine.state import write_whole

STATUS, LOST = "lock.json", "lock.lost"


def ticks() -> float:
    """Return seconds that go on while this machine sleeps and that no clock setting changes."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class LockStatus:
    """The lock of a run: `state` held or released; the lease surely holds until `valid_until` (ticks)."""

    state: str
    name: str
    host: str
    token: int
    keeper: int
    keeper_started: str
    valid_until: float


def write_status(folder: Path, status: LockStatus) -> None:
    """Store the status whole."""
    write_whole(folder / STATUS, json.dumps(asdict(status)).encode())


def read_status(folder: Path) -> LockStatus | None:
    """Return the last status, None when this run never had the lock."""
    try:
        return LockStatus(**json.loads((folder / STATUS).read_text("utf-8")))
    except FileNotFoundError:
        return None


def mark_lost(folder: Path, reason: str) -> None:
    """Say once and for all that this run may change nothing more; the first reason stays."""
    if not (folder / LOST).exists():
        write_whole(folder / LOST, reason.encode())


def why_lost(folder: Path) -> str | None:
    """Return why the run in `folder` may not change anything (more), None while its lock surely holds."""
    try:
        return (folder / LOST).read_text("utf-8")
    except FileNotFoundError:
        pass
    status = read_status(folder)
    if status is None:
        return "this run never took the lock"
    if status.state != "held":
        return f"this run has given back the lock {status.name}"
    late = ticks() - status.valid_until
    if late >= 0:
        return f"the lock {status.name} was not renewed: its lease ended {late:.0f} s ago"
    return None


def process_started(pid: int) -> str:
    """Return a text that tells process `pid` from a later one of the same number; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state, began = fields[0], fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
        asked = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        state, _, began = told.strip().partition(" ")
    except ProcessLookupError:
        return ""
    return "" if state[:1] in "ZX" else began
