# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say on the controller what became of a switch: what it kept is in the folder of its run. Reads only."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.action.cdn_failover import SECRETS
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.choose import choose_provider
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.outcome import kept_undo, look
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction


class ActionModule(ControllerAction):
    """`oncall.runbooks.cdn_failover_info`."""

    MODULE = "oncall.runbooks.cdn_failover_info"
    SECRETS = SECRETS

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Look and return the module's result; raises OncallError."""
        host = str(task_vars.get("inventory_hostname", ""))
        undo = kept_undo(os.environ.get("ONCALL_PROGRESS", ""), options["run"], host)
        return {"changed": False, "outcome": look(choose_provider(options), options["run"], undo)}
