# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a long step says of itself while it runs, for whoever watches the run."""

from __future__ import annotations

__metaclass__ = type

import json
import os
from datetime import datetime, timezone
from typing import Any, Dict


class ProgressFile:
    """Appends what a job says of itself to the file that the run's live view reads."""

    def __init__(self, path: str, run: str, host: str) -> None:
        self._path, self._run, self._host = path, run, host
        self._last = ""

    @classmethod
    def from_environment(cls, run: str, host: str) -> "ProgressFile":
        """Return the file that ONCALL_PROGRESS names; without it nothing is written."""
        return cls(os.environ.get("ONCALL_PROGRESS", ""), run, host)

    def append(self, state: Dict[str, Any]) -> None:
        """Write one line, unless nothing changed; `undo` is for whoever reads the file, `text` is shown."""
        shown = {
            name: state.get(name)
            for name in ("phase", "bytes", "total", "rate", "eta_s", "table", "rows", "text")
        }
        if "undo" in state:
            shown["undo"] = state["undo"]
        text = json.dumps(shown)
        if not self._path or text == self._last:
            return
        self._last = text
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"at": at, "run": self._run, "host": self._host, **shown}) + "\n"
        with open(self._path, "a") as stream:
            stream.write(line)
