# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a host whether it has what runs need, and hold its clock against the controller's."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.probes.ready import measure_clock
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction


class ActionModule(ControllerAction):
    """`oncall.runbooks.host_ready`: only who asks knows when it was asked and answered."""

    MODULE = "oncall.runbooks.host_ready"
    SECRETS = frozenset({"login_password"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Let the module ask, and add what its time says."""
        asked = time.time()
        result: Dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=options, task_vars=dict(task_vars)
        )
        if "clock" in result:
            result["findings"].append(measure_clock(asked, time.time(), result.pop("clock")))
        return result
