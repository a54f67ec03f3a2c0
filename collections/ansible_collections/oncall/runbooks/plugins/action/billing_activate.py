# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Activate who paid and was missed: Stripe's word is fetched here, the rows are changed on the target."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_action import (
    BillingAction,
    about,
    require_paid,
)

_OWN = ("tokens", "audit", "limit", "confirm_status", "ledger", "state")


class ActionModule(BillingAction):
    """`oncall.runbooks.billing_activate`."""

    MODULE = "oncall.runbooks.billing_activate"

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Activate, or take an activation back, and return what the target says."""
        own = {name: options[name] for name in _OWN if options.get(name) is not None}
        if options["state"] == "restored":
            return self.on_target(self.MODULE, options, task_vars, stripe={"about": about()}, **own)
        if options["email"] and options["subscriber_id"]:
            raise UsageError("choose the subscriber", got="email and subscriber_id were both given")
        stripe = self.stripe(options)
        named = options["email"] or options["subscriber_id"]
        person = self.one(options, task_vars) if named else None
        seen = self.paid(stripe, options, person)
        if person is not None:
            require_paid(seen, person)
        asked = {"payments": seen.payments, "about": about(), "subscriber_id": (person or {}).get("id", "")}
        result = self.on_target(self.MODULE, options, task_vars, stripe=asked, **own)
        return {**result, "warnings": seen.warnings} if seen.warnings else result

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say that nothing was changed: whatever fails, the one transaction is rolled back."""
        return {"left_unchanged": not error.changed}
