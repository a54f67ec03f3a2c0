# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask URLs from the controller, as a user of the system would. Reads only."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import worst
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.urls import measure_urls
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction


class ActionModule(ControllerAction):
    """`oncall.runbooks.http_health`."""

    MODULE = "oncall.runbooks.http_health"
    SECRETS = frozenset({"headers", "body"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the findings; an address that does not answer is one of them."""
        findings = measure_urls(options["outside"])
        for found in findings:
            found["host"] = str(task_vars.get("inventory_hostname", ""))
        return {"changed": False, "findings": findings, "status": worst(findings)}
