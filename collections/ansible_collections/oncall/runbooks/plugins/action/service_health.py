# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure services on their host and, at the same time, ask from the controller what their users see."""

from __future__ import annotations

__metaclass__ = type

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Mapping, Set

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.oncall.runbooks.plugins.action.cdn_failover import SECRETS as CDN_SECRETS
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.health import measure as measure_cdn
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import worst
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.urls import measure_urls
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import (
    ControllerAction,
    documented_spec,
)

_PAUSE = 0.5


class ActionModule(ControllerAction):
    """`oncall.runbooks.service_health`: the module does the host's part, the rest stays here."""

    MODULE = "oncall.runbooks.service_health"
    SECRETS = frozenset({"headers", "body", "value"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Measure, and again while something fails and there is time left."""
        outside, cdn = options.pop("outside") or [], options.pop("cdn")
        wait, steady = options.pop("wait"), options.pop("steady")
        deadline, good = time.monotonic() + wait, 0
        while True:
            result = self._measured(options, outside, cdn, task_vars)
            good = good + 1 if _settled(result) else 0
            enough = good >= steady or (not good and time.monotonic() >= deadline)
            if enough or result.get("failed") or result.get("unreachable"):
                return result
            time.sleep(_PAUSE)

    def options(self, hidden: Set[str]) -> Dict[str, Any]:
        """Also validate `cdn` as its own module would."""
        options = super().options(hidden)
        if options["cdn"]:
            spec = documented_spec("oncall.runbooks.cdn_health", CDN_SECRETS)
            checked = ArgumentSpecValidator(spec).validate(options["cdn"])
            hidden.update(str(value) for value in checked._no_log_values)
            if checked.error_messages:
                raise UsageError(
                    "use the option cdn",
                    got="; ".join(checked.error_messages),
                    next_step="correct what oncall.runbooks.cdn_health is given",
                )
            options["cdn"] = checked.validated_parameters
        return options

    def _measured(
        self,
        options: Mapping[str, Any],
        outside: List[Mapping[str, Any]],
        cdn: Mapping[str, Any],
        task_vars: Mapping[str, Any],
    ) -> Dict[str, Any]:
        """Do all of it at once; the longest is the time it takes."""
        # An option that was left out is left out there, too.
        given = {name: value for name, value in options.items() if value is not None}
        with ThreadPoolExecutor(max_workers=2) as pool:
            asked = [pool.submit(measure_urls, outside)]
            if cdn:
                asked.append(pool.submit(measure_cdn, cdn))
            result: Dict[str, Any] = self._execute_module(
                module_name=self.MODULE, module_args=given, task_vars=dict(task_vars)
            )
            found = [one for waiting in asked for one in waiting.result()]
        findings = [*result.get("findings", []), *found]
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
