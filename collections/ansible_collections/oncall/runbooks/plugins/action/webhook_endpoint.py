# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Enable or disable a webhook endpoint at Stripe. Runs on the controller alone."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_action import BillingAction


class ActionModule(BillingAction):
    """`oncall.runbooks.webhook_endpoint`."""

    MODULE = "oncall.runbooks.webhook_endpoint"

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Set the status, read it back, and return how it is taken back."""
        del task_vars  # no host is asked
        stripe = self.stripe(options)
        before = stripe.find_endpoint(options["endpoint"])
        wanted = options["state"]
        result: Dict[str, Any] = {"changed": before["status"] != wanted, "endpoint": _shown(before)}
        result["prediction"] = {
            "summary": "%s becomes %s" % (before["url"], wanted)
            if result["changed"]
            else "%s is %s already" % (before["url"], wanted),
            "data_loss": "none",
        }
        result["diff"] = {name: "%s: %s\n" % (before["url"], status)
                          for name, status in (("before", before["status"]), ("after", wanted))}  # fmt: skip
        if result["changed"]:
            result["undo"] = _undo(before)
            if not self._task.check_mode:
                result["endpoint"] = _shown(_set(stripe, before, wanted))
        return result

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say whether the endpoint may be another than before."""
        return {"left_unchanged": not error.changed}


def _set(stripe: Any, endpoint: Mapping[str, Any], wanted: str) -> Dict[str, Any]:
    try:
        stripe.set_endpoint(endpoint["id"], disabled=wanted == "disabled")
        now: Dict[str, Any] = stripe.find_endpoint(endpoint["id"])
    except OncallError as error:
        error.changed = error.kind != "denied"
        raise
    if now["status"] != wanted:
        raise VerificationError(
            "set the webhook endpoint to %s" % wanted,
            on=endpoint["url"],
            got="Stripe took it, but it is %s" % now["status"],
            next_step="look at it in Stripe's dashboard: somebody else may be changing it",
        )
    return now


def _undo(before: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "summary": "set the webhook endpoint %s back to %s" % (before["url"], before["status"]),
        "reversible": True,
        "role": "oncall.runbooks.billing",
        "entry_point": "endpoint_undo",
        "args": {"endpoint": before["id"], "state": before["status"]},
    }


def _shown(endpoint: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: endpoint[name] for name in ("id", "url", "status")}
