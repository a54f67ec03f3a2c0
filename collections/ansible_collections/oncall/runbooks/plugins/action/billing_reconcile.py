# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare what Stripe says was paid with who is served. Reads only."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import NOT_SERVED
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.stripe import (
    COMPLETED,
    EVENT_DAYS,
    Stripe,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.plugin_utils import billing_findings as told
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_action import BillingAction
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_payments import of_sessions


class ActionModule(BillingAction):
    """`oncall.runbooks.billing_reconcile`."""

    MODULE = "oncall.runbooks.billing_reconcile"

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the findings; whatever stands in the way of measuring is one of them."""
        result: Dict[str, Any] = {"changed": False, "findings": [], "missed": [], "ended": [], "warnings": []}
        try:
            self._measure(options, task_vars, result)
        except OncallError as error:
            result["findings"] += told.of_failure(error, result["findings"], options["checks"])
        if options["follow_up"]:
            result["findings"] = [told.as_hint(found, options["follow_up"]) for found in result["findings"]]
        for found in result["findings"]:
            found["host"] = str(task_vars.get("inventory_hostname", ""))
        if not result["warnings"]:
            del result["warnings"]
        return result

    def _measure(self, options: Dict[str, Any], task_vars: Mapping[str, Any], result: Dict[str, Any]) -> None:
        findings: List[Dict[str, Any]] = result["findings"]
        checks, stripe = options["checks"], self.stripe(options)
        if told.ENDPOINT in checks:
            findings.append(_endpoint(stripe, options["endpoint"]))
        if told.PENDING in checks:
            findings.append(_pending(stripe, options))
        if {told.MISSING, told.ENDED} & set(checks):
            self._compare(stripe, options, task_vars, result)

    def _compare(
        self, stripe: Stripe, options: Dict[str, Any], task_vars: Mapping[str, Any], result: Dict[str, Any]
    ) -> None:
        findings: List[Dict[str, Any]] = result["findings"]
        person = None
        if options["email"] or options["subscriber_id"]:
            people = self.people(options, task_vars)
            if len(people) != 1:
                findings.append(told.of_nobody(options["email"], options["subscriber_id"], people))
                return
            person = people[0]
        wanted = options["sessions"]
        if wanted:
            seen = of_sessions(stripe, wanted, options["subscriptions"]["mode"])
        else:
            seen = self.paid(stripe, options, person)
        compared = self.compare(seen, options, task_vars)
        if told.MISSING in options["checks"]:
            findings.append(told.of_missed(compared["judged"], seen, options["escalate_at"], wanted))
        if told.ENDED in options["checks"] and person is None and not wanted:
            findings.append(told.of_ended(compared["ended"], seen))
        result.update(ended=compared["ended"], warnings=seen.warnings)
        result["missed"] = [j for j in compared["judged"] if j["verdict"] in NOT_SERVED]


def _pending(stripe: Stripe, options: Mapping[str, Any]) -> Dict[str, Any]:
    if stripe.clock is None:
        stripe.endpoints()
    now = stripe.clock or time.time()
    since = now - min(options["window_hours"], EVENT_DAYS * 24) * 3600
    events = stripe.events(COMPLETED, since, undelivered=True)
    return told.of_pending([e for e in events if e["created"] <= now - options["grace"]], now)


def _endpoint(stripe: Stripe, wanted: str) -> Dict[str, Any]:
    try:
        return told.of_endpoint(stripe.find_endpoint(wanted), COMPLETED[:1])
    except OncallError as error:
        if error.kind != "no_endpoint":
            raise
        return told.of_no_endpoint(error)
