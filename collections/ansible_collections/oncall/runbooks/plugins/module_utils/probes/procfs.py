# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel says about one process; every question answers None when it cannot be known."""

from __future__ import annotations

__metaclass__ = type

import os
from dataclasses import dataclass
from typing import Dict, Optional

STOPPED_STATES = ("T", "t")


@dataclass(frozen=True)
class ProcessInfo:
    """A living process: `state` is the kernel's letter (R, S, D, T, Z), `age` in seconds, `parent` a pid."""

    pid: int
    name: str
    state: str
    age: float
    parent: int = 0

    @property
    def frozen(self) -> bool:
        """Stopped by a signal or a debugger: it exists, but does nothing until SIGCONT."""
        return self.state in STOPPED_STATES


def process_info(pid: int, root: str = "/proc") -> Optional[ProcessInfo]:
    """Return what is known of `pid`, or None when no such process lives (a zombie does not live)."""
    try:
        with open("%s/%d/stat" % (root, pid), encoding="utf-8", errors="replace") as handle:
            text = handle.read()
        with open("%s/uptime" % root, encoding="ascii") as handle:
            uptime = float(handle.read().split()[0])
    except (OSError, ValueError):
        return None
    # The name stands in parentheses and may itself contain spaces and parentheses.
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in ("Z", "X"):
        return None
    age = uptime - int(fields[19]) / float(os.sysconf("SC_CLK_TCK"))
    return ProcessInfo(pid, name, fields[0], max(0.0, age), int(fields[1]))


def link_target(pid: int, link: str, root: str = "/proc") -> str:
    """Return where /proc/PID/link points to (`exe`, `fd/2`), or an empty string."""
    try:
        return os.readlink("%s/%d/%s" % (root, pid, link))
    except OSError:
        return ""


def process_environment(pid: int, root: str = "/proc") -> Dict[str, str]:
    """Return the environment that process `pid` was started with; raises OSError when it may not be seen."""
    with open("%s/%d/environ" % (root, pid), "rb") as handle:
        entries = handle.read().decode("utf-8", "replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
