# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure services on their host and, at the same time, ask from the controller what their users see."""

from __future__ import annotations

__metaclass__ = type

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import worst
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.urls import measure_urls
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction


class ActionModule(ControllerAction):
    """`oncall.runbooks.service_health`: the module does the host's part, `outside` stays here."""

    MODULE = "oncall.runbooks.service_health"
    SECRETS = frozenset({"headers", "body"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Do both at once; the longer of the two is the time it takes."""
        outside: List[Mapping[str, Any]] = options.pop("outside") or []
        with ThreadPoolExecutor(max_workers=1) as pool:
            asked = pool.submit(measure_urls, outside)
            result: Dict[str, Any] = self._execute_module(
                module_name=self.MODULE, module_args=_given(options), task_vars=dict(task_vars)
            )
            findings = asked.result()
        host = str(task_vars.get("inventory_hostname", ""))
        if not result.get("failed"):
            result["findings"] = [
                dict(found, host=found["host"] or host) for found in [*result["findings"], *findings]
            ]
            result["status"] = worst(result["findings"])
        return result


def _given(options: Mapping[str, Any]) -> Dict[str, Any]:
    """An option that was left out is left out there, too."""
    return {name: value for name, value in options.items() if value is not None}
