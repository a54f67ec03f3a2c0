# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have Stripe deliver the event again, once per event, and wait until the subscriber is served."""

from __future__ import annotations

__metaclass__ = type

import os
import uuid
from dataclasses import replace
from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import (
    MISSED,
    NOT_SERVED,
    UNLINKED,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.stripe import Stripe
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UnreachableError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_action import (
    BillingAction,
    require_paid,
)
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_payments import Seen

Row = Dict[str, Any]


class ActionModule(BillingAction):
    """`oncall.runbooks.webhook_resend`."""

    MODULE = "oncall.runbooks.webhook_resend"

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Resend what is missing and wait; with nothing missing there is nothing to do."""
        stripe = self.stripe(options)
        endpoint = stripe.find_endpoint(options["endpoint"])
        named = options["email"] or options["subscriber_id"]
        person = self.one(options, task_vars) if named else None
        seen = self.paid(stripe, options, person)
        if person is not None:
            require_paid(seen, person)
        judged = self.compare(seen, options, task_vars)["judged"]
        wanted, left = _sorted_out(judged, options["event"])
        _refuse(endpoint, wanted, left, options)
        result = _predicted(endpoint, wanted, left)
        if wanted and not self._task.check_mode:
            unsure = _resend(stripe, endpoint["id"], wanted)
            self._see(seen, wanted, options, task_vars, unsure)
        return result

    def _see(
        self,
        seen: Seen,
        wanted: List[Row],
        options: Dict[str, Any],
        task_vars: Mapping[str, Any],
        unsure: str,
    ) -> None:
        """Wait until everybody concerned is served; raises VerificationError with who is not."""
        ids = {w["session"] for w in wanted}
        sent = replace(seen, payments=[p for p in seen.payments if p["session"] in ids], ended=[])
        try:
            now = self.compare(sent, options, task_vars, wait=options["timeout"])["judged"]
        except OncallError as error:
            error.changed = True
            raise
        bad = [j for j in now if j["verdict"] in NOT_SERVED]
        if not bad:
            return
        failed = VerificationError(
            "see the subscribers served after the event was sent again",
            on=", ".join(j["event"] for j in bad[:5]),
            got="after %g s still: %s%s"
            % (options["timeout"], "; ".join("%s: %s" % (j["email"], j["reason"]) for j in bad[:5]), unsure),
            next_step="read the log of the handler behind the endpoint; if it cannot be repaired at once, "
            "activate by hand (mitigation activate-subscriber)",
        )
        # The handler may still be working on it.
        failed.changed = True
        raise failed

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say whether the handler may have been given the event."""
        return {"left_unchanged": not error.changed}


def _sorted_out(judged: List[Row], event: str) -> Any:
    """Return what can be resent, and what is not served but cannot be helped by an event."""
    missed = [j for j in judged if j["verdict"] in NOT_SERVED]
    wanted = [
        j
        for j in missed
        if j["verdict"] in (MISSED, UNLINKED)
        and j["event"]
        and not j["received"]
        and event in ("", j["event"])
    ]
    # In the order in which it happened: what came later may build on what came before.
    wanted.sort(key=lambda j: float(j["completed"]))
    return wanted, [j for j in missed if j not in wanted]


def _refuse(
    endpoint: Mapping[str, Any], wanted: List[Row], left: List[Row], options: Mapping[str, Any]
) -> None:
    if left and not wanted:
        raise ConflictError(
            "resend the event",
            on=", ".join("%s (%s)" % (j["email"], j["event"] or j["session"]) for j in left[:5]),
            got="; ".join(_why_not(j) for j in left[:5]),
            next_step="activate by hand (mitigation activate-subscriber); nothing was changed",
            kind="not_resendable",
        )
    if wanted and endpoint["status"] != "enabled":
        raise ConflictError(
            "resend the event",
            on=endpoint["url"],
            got="the endpoint is %s" % endpoint["status"],
            next_step="enable it first (mitigation enable-endpoint); nothing was changed",
            kind="endpoint_disabled",
        )
    if len(wanted) > options["limit"]:
        raise ConflictError(
            "resend the events of everybody who was missed",
            got="%d events would be sent, more than %d" % (len(wanted), options["limit"]),
            next_step="see whether the statuses in the inventory are right; if they are, set limit higher;"
            " nothing was changed",
            kind="too_many",
        )


def _why_not(judged: Row) -> str:
    if judged["verdict"] not in (MISSED, UNLINKED):
        return str(judged["reason"])
    if not judged["event"]:
        return "Stripe has no event of this checkout any more (kept for 30 days)"
    if judged["received"]:
        return "the application has handled this event already and would take it for a repetition"
    return "another event was asked for"


def _resend(stripe: Stripe, endpoint: str, wanted: List[Row]) -> str:
    """Send each event once; return what has to be known when it is not certain that one was taken."""
    run, unsure = os.environ.get("ONCALL_RUN_ID") or uuid.uuid4().hex, ""
    for number, judged in enumerate(wanted):
        try:
            stripe.retry(judged["event"], endpoint, run)
        except UnreachableError as error:
            # It may have been taken: sending it again could deliver it twice, looking cannot.
            unsure = " (Stripe's answer was lost: %s)" % error.got
        except OncallError as error:
            error.changed = number > 0
            raise
    return unsure


def _predicted(endpoint: Mapping[str, Any], wanted: List[Row], left: List[Row]) -> Dict[str, Any]:
    lines = ["%s (%s) to %s" % (j["event"], j["email"], endpoint["url"]) for j in wanted]
    result: Dict[str, Any] = {
        "changed": bool(wanted),
        "resent": wanted,
        "left_alone": left,
        "prediction": {
            "summary": "%d events sent again" % len(wanted)
            if wanted
            else "nobody who paid is without service",
            "events": len(wanted),
            "data_loss": "none",
        },
        "diff": {
            "before": "".join("not delivered: %s\n" % line for line in lines),
            "after": "".join("delivered: %s\n" % line for line in lines),
        },
    }
    if wanted:
        result["undo"] = {
            "summary": "what the application did with the events cannot be taken back from here",
            "reversible": False,
        }
    return result
