# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure on the controller where traffic goes and how the origins are. Reads only."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.action.cdn_failover import SECRETS
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.health import measure
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction


class ActionModule(ControllerAction):
    """`oncall.runbooks.cdn_health`."""

    MODULE = "oncall.runbooks.cdn_health"
    SECRETS = SECRETS

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the findings; whatever stands in the way of measuring is one of them."""
        found = measure(options)
        for one in found:
            one["host"] = str(task_vars.get("inventory_hostname", ""))
        return {"changed": False, "findings": found}
