# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure services on their host and, at the same time, ask from the controller what their users see."""

from __future__ import annotations

__metaclass__ = type

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import worst
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.urls import measure_urls
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction

_PAUSE = 0.5


class ActionModule(ControllerAction):
    """`oncall.runbooks.service_health`: the module does the host's part, `outside` and `wait` stay here."""

    MODULE = "oncall.runbooks.service_health"
    SECRETS = frozenset({"headers", "body"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Measure, and again while something fails and there is time left."""
        outside, wait = options.pop("outside") or [], options.pop("wait")
        deadline = time.monotonic() + wait
        while True:
            result = self._measured(options, outside, task_vars)
            if _settled(result) or time.monotonic() >= deadline:
                return result
            time.sleep(_PAUSE)

    def _measured(
        self, options: Mapping[str, Any], outside: List[Mapping[str, Any]], task_vars: Mapping[str, Any]
    ) -> Dict[str, Any]:
        """Do both at once; the longer of the two is the time it takes."""
        # An option that was left out is left out there, too.
        given = {name: value for name, value in options.items() if value is not None}
        with ThreadPoolExecutor(max_workers=1) as pool:
            asked = pool.submit(measure_urls, outside)
            result: Dict[str, Any] = self._execute_module(
                module_name=self.MODULE, module_args=given, task_vars=dict(task_vars)
            )
            findings = [*result.get("findings", []), *asked.result()]
        if not result.get("failed") and not result.get("unreachable"):
            host = str(task_vars.get("inventory_hostname", ""))
            result["findings"] = [dict(found, host=found["host"] or host) for found in findings]
            result["status"] = worst(result["findings"])
        return result


def _settled(result: Mapping[str, Any]) -> bool:
    """Whether there is nothing to wait for: what is not configured will not come."""
    if result.get("failed") or result.get("unreachable"):
        return True
    return not any(
        found["status"] == "fail"
        or (found["status"] == "unknown" and (found["observed"] or {}).get("reason") != "unconfigured")
        for found in result["findings"]
    )
