# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory a server may take at all: the limit of its container, or what the host has."""

from __future__ import annotations

__metaclass__ = type

import os
from dataclasses import dataclass

from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size

# While a snapshot is written, pages that change are there twice; a quarter is kept for that.
_RESERVE = 0.25
# A limit beyond this is how cgroup v1 says "none".
_NONE = 1 << 60


@dataclass(frozen=True)
class Ceiling:
    """Bytes, and whose limit that is; 0 when it is not known."""

    bytes: int
    source: str

    def describe(self) -> str:
        """One phrase, such as `512.0 MiB (limit of its container)`."""
        return "%s (%s)" % (size(self.bytes), self.source) if self.bytes else "an unknown limit"


def safe_maxmemory(ceiling: int) -> int:
    """Return the largest maxmemory that leaves room for a snapshot, in whole MiB."""
    return int(ceiling * (1 - _RESERVE)) >> 20 << 20


def measure_ceiling(pid: int, declared: int, host_total: int, root: str = "/") -> Ceiling:
    """Return the least of what is `declared`, the process's own control group allows and the host has.

    `pid` is the server's process id on the host, 0 when that is not known; all sizes are bytes, 0 = none.
    """
    found = [
        Ceiling(declared, "declared in the inventory"),
        Ceiling(_cgroup_limit(pid, root) if pid else 0, "limit of its container"),
        Ceiling(host_total, "memory of the host"),
    ]
    known = [ceiling for ceiling in found if 0 < ceiling.bytes < _NONE]
    return min(known, key=lambda ceiling: ceiling.bytes) if known else Ceiling(0, "")


def _cgroup_limit(pid: int, root: str) -> int:
    """Return the limit of the control group that the process is in, or of one around it; 0 for none."""
    least = 0
    for line in _read(os.path.join(root, "proc", str(pid), "cgroup")).splitlines():
        _number, _colon, rest = line.partition(":")
        controllers, _colon, path = rest.partition(":")
        folder, name = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        if controllers and "memory" not in controllers.split(","):
            continue
        while path not in ("", "/"):
            text = _read(os.path.join(root, "sys/fs/cgroup", folder, path.lstrip("/"), name)).strip()
            limit = int(text) if text.isdigit() else 0
            least = min(limit, least) if limit and least else limit or least
            path = os.path.dirname(path)
    return least


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""
