# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became of a switch that nobody saw the end of: from the undo that it kept before it began."""

from __future__ import annotations

__metaclass__ = type

import json
import os
from typing import Any, Dict, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.edge.base import EdgeProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError


def look(provider: EdgeProvider, run: str, undo: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """Return `{state, summary, undo}` of the switch of `run`; undo: what it kept (None: it never began).

    state: done (traffic is where the switch wanted it), not_done (as before) or half (neither).
    """
    if undo is None:
        return _said("not_done", "run %s did not begin to switch %s" % (run, provider.place))
    now = provider.state()
    where = "the traffic of %s goes to %s" % (provider.place, now.active or "several origins")
    if provider.same(now.settings, undo["args"]["before"]["settings"]):
        return _said("not_done", "%s, as before run %s" % (where, run))
    if provider.same(now.settings, undo["args"]["wanted"]):
        return _said("done", "%s, as run %s had it" % (where, run), undo)
    return _said(
        "half", "%s: run %s did not come to its end, or somebody changed it since" % (where, run), undo
    )


def _said(state: str, summary: str, undo: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    return {"state": state, "summary": summary, "undo": undo}


def kept_undo(progress: str, run: str, host: str) -> Optional[Dict[str, Any]]:
    """Return the undo that `run` kept for `host` before it changed anything; None when it kept none.

    progress: the file in which the present run keeps its own, in its folder beside that of `run`.
    """
    if not progress:
        raise OncallError(
            "see what run %s did" % run,
            got="this run has no record, so where those of earlier runs are is not known",
            next_step="run it through runbook, or with the callback record enabled",
        )
    path = os.path.join(os.path.dirname(os.path.dirname(progress)), run, os.path.basename(progress))
    found: Optional[Dict[str, Any]] = None
    try:
        with open(path) as stream:
            for line in stream:
                said = _line(line)
                if said.get("host") == host and said.get("undo"):
                    found = said["undo"]
    except FileNotFoundError:
        return None
    return found


def _line(text: str) -> Dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}  # half a line, of a run that was killed as it wrote it: nothing was changed then
    return said if isinstance(said, dict) else {}
