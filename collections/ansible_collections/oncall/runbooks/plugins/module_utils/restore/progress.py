# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a restore is: counters that any thread updates, one text that a reader understands."""

from __future__ import annotations

__metaclass__ = type

import threading
import time
from typing import Any, Callable, Dict, Optional

PHASES = ("inspect", "copy-safety", "copy", "create", "load", "index", "verify", "switch", "done")


class Progress:
    """Counters of one restore; `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._started = self._phase_started = clock()
        self.phase = "inspect"
        self.table = ""
        self.rows = 0
        self.bytes = 0
        self.total: Optional[int] = None
        self.note = ""
        self.durations: Dict[str, float] = {}
        self.upload: Dict[str, Any] = {}  # a safety copy that waits to be completed: ETags and size

    def enter(self, phase: str, note: str = "") -> None:
        """Begin a phase; the seconds of the one before are kept in `durations`."""
        with self._lock:
            now = self._clock()
            spent = self.durations.get(self.phase, 0.0) + now - self._phase_started
            self.durations[self.phase] = round(spent, 3)
            self.phase, self._phase_started, self.note = phase, now, note

    def add_rows(self, rows: int, table: str) -> None:
        """Count rows that the server took."""
        with self._lock:
            self.rows += rows
            self.table = table

    def set_bytes(self, done: int) -> None:
        """Set how many bytes of the backup were read."""
        self.bytes = done

    @property
    def elapsed(self) -> float:
        """Seconds since the restore began."""
        return self._clock() - self._started

    def snapshot(self) -> Dict[str, Any]:
        """Return the state for machines: bytes, bytes per second, seconds left (None when unknown)."""
        with self._lock:
            spent = max(self._clock() - self._phase_started, 1e-6)
            rate = self.bytes / spent if self.phase == "load" else None
            left = (self.total - self.bytes) / rate if rate and self.total else None
            state: Dict[str, Any] = {
                "phase": self.phase,
                "bytes": self.bytes,
                "total": self.total,
                "rate": round(rate) if rate is not None else None,
                "eta_s": round(left, 1) if left is not None else None,
                "table": self.table,
                "rows": self.rows,
                "elapsed_s": round(self.elapsed, 3),
            }
        if self.upload:
            state["upload"] = self.upload
        state["text"] = self._text(state)
        return state

    def _text(self, state: Dict[str, Any]) -> str:
        if state["phase"] != "load":
            return self.note or state["phase"]
        text = "%s read" % human_bytes(state["bytes"])
        if state["total"]:
            text = "%s of %s read" % (human_bytes(state["bytes"]), human_bytes(state["total"]))
        if state["rate"]:
            text += ", %s/s" % human_bytes(state["rate"])
        if state["eta_s"] is not None:
            text += ", %.0f s left" % state["eta_s"]
        return "%s; %s rows, now %s" % (text, format(state["rows"], ","), state["table"] or "the schema")


def human_bytes(number: float) -> str:
    """Return bytes for a reader: `213.4 MB` (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return "%.0f %s" % (number, unit) if unit == "B" else "%.1f %s" % (number, unit)
        number /= 1000
    return "%.1f TB" % number
