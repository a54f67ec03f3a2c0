# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which changes of settings are in place for a limited time, and whether somebody will take them back."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.service.preimage import Preimage, open_changes
from ansible_collections.oncall.runbooks.plugins.module_utils.service.schedule import is_armed


def utc(moment: Optional[float]) -> str:
    """Return a Unix time for a sentence; without one, who ends the change."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)) if moment else "an operator undoes it"


def pending_changes(private_dir: str) -> List[Dict[str, Any]]:
    """Return a finding for each change that is only for a time, and an ok one when there is none."""
    found = [_pending(kept) for kept in open_changes(private_dir) if kept.until is not None]
    return found or [finding("settings_temporary", "ok", "No setting is changed for a limited time.")]


def _pending(kept: Preimage) -> Dict[str, Any]:
    armed, late = is_armed(kept), time.time() > (kept.until or 0) + 60
    status = "warn" if armed and not late and not kept.problem else "fail"
    text = "%s of %s is changed until %s by run %s" % (kept.keys, kept.path, utc(kept.until), kept.run)
    if status == "fail":
        why = kept.problem or ("its time is over" if late else "nothing is left that would take it back")
        text += ", but %s Next: runbook undo %s" % (why.rstrip(".") + ".", kept.run)
    return finding(
        "settings_temporary",
        status,
        text.rstrip(".") + ".",
        observed={"keys": sorted(kept.made), "until": utc(kept.until), "armed": armed, "run": kept.run},
        expected={"armed": True},
    )
