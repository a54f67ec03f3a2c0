# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the platform that runs a service says that it runs."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Iterator

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UnreachableError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider, ServiceState


def measure_runtime(provider: Provider, check: str = "postgres_runtime") -> Iterator[Dict[str, Any]]:
    """Yield the state of the container, unit or process: an engine that does not answer is a failure too."""
    try:
        state = provider.state()
    except UnreachableError as exc:
        yield finding(check, "fail", exc.message, observed=exc.as_dict(), expected={"running": True})
        return
    yield finding(
        check,
        _status(state),
        _sentence(state),
        observed=state.as_dict(),
        expected={"running": True, "frozen": False, "looping": False},
    )


def _sentence(state: ServiceState) -> str:
    text = state.describe()
    if state.looping:
        text += "; it is being restarted in a loop"
    return text[0].upper() + text[1:] + "."


def _status(state: ServiceState) -> str:
    if not state.exists or not state.well or state.looping:
        return "fail"
    # Running now, but it was killed before, or the unit named is only a wrapper: look twice.
    return "warn" if state.oom_killed or state.restarts or state.note.startswith("a wrapper") else "ok"
