"""billing-webhook-missed: somebody has paid, and Roost does not know it."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal.cases.base import Symptom, changed
from runbook.rehearsal.cases.billing import BillingCase
from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import holders, services, stripe, vendors
from runbook.rehearsal.symptoms.together import all_of

_SYMPTOMS = (
    Symptom(
        "webhook-lost",
        "somebody paid while the handler failed: the event is pending, he has no service",
        stripe.lose(),
        expects="resend-event",
        finds=("billing_missed", "billing_webhook_pending"),
    ),
    Symptom(
        "webhooks-lost",
        "four people paid while the handler failed",
        stripe.lose(4),
        expects="resend-event",
        finds=("billing_missed", "billing_webhook_pending"),
    ),
    Symptom(
        "event-swallowed",
        "the handler noted the event and did nothing: sent again it would be taken for a repetition",
        stripe.lose(swallow=True),
        expects="activate-subscriber",
        finds=("billing_missed",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "endpoint-disabled",
        "Stripe has disabled the webhook endpoint: nothing is delivered any more",
        stripe.set_endpoint("disabled"),
        stripe.set_endpoint("enabled"),
        expects="enable-endpoint",
        finds=("billing_webhook_endpoint",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "stripe-busy",
        "an event was lost, and Stripe refuses some requests",
        stripe.hurry,
        stripe.calm,
        kind="failing dependency",
        expects="resend-event",
        finds=("billing_missed",),
    ),
    Symptom(
        "handler-still-fails",
        "an event was lost, and the handler is as broken as it was: sending it again does not help",
        stripe.lose_for_good,
        kind="failing step",
        expects="resend-event",
        finds=("billing_missed",),
        ends="failed",
        says="activate-subscriber",
        relief=services.tell("owl_api"),
        then="resume",
    ),
    Symptom(
        "rows-locked",
        "a migration that hangs has locked the table that an activation has to write",
        stripe.lose(swallow=True),
        kind="failing step",
        expects="activate-subscriber",
        finds=("billing_missed",),
        damages=True,
        undoes=True,
        later=holders.lock("public.subscribers"),
        ends="failed, undone",
        says="lock",
        relief=holders.unlock,
        then="again",
    ),
    Symptom(
        "stripe-down",
        "an event was lost, and Stripe answers nothing but 503",
        all_of(stripe.lose(), vendors.misbehave("stripe", {"do": "status 503"})),
        stripe.calm,
        kind="failing dependency",
        unsure=("billing_missed",),
    ),
    Symptom(
        "stripe-garbage",
        "an event was lost, and something between us and Stripe answers with a web page",
        all_of(stripe.lose(), vendors.misbehave("stripe", {"do": "garbage"})),
        stripe.calm,
        kind="failing dependency",
        unsure=("billing_missed",),
    ),
)


class BillingWebhookMissed(BillingCase):
    """Outside is whoever paid: his token has to work. The picture is every row of billing's."""

    symptoms = _SYMPTOMS

    def problem_outside(self, stack: Stack) -> str:
        """Use the tokens of everybody who has bought."""
        for one in stripe.buyers(stack):
            refusal = stripe.refused(stack, one.token)
            if one.paid and refusal:
                return f"subscriber {one.subscriber} has paid and gets {refusal}"
            if not one.paid and not refusal:
                return f"subscriber {one.subscriber} has not paid and is served"
            if not stripe.refused(stack, one.stolen):
                return f"a stolen token of subscriber {one.subscriber} works again"
        if stripe.endpoint(stack)["status"] != "enabled":
            return "the webhook endpoint is disabled: whoever pays now has no service"
        return ""

    def healthy(self, stack: Stack) -> str:
        """See an event arrive, and leave a checkout that is complete and not paid, which nobody missed."""
        stripe.buy(stack)
        stripe.buy(stack, payment_status="unpaid")
        return super().healthy(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take every row of subscribers, subscriptions and tokens, and the endpoint's status."""
        return {**_rows(stack), "the webhook endpoint": stripe.endpoint(stack)["status"]}

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Also see that nothing but the rows of those who paid is another, and that a new event arrives."""
        ours = {f"subscriber {one.subscriber}" for one in stripe.buyers(stack)}
        found = changed(before, self.picture(stack), before.keys() - ours - {"the webhook endpoint"})
        problem = self.problem_outside(stack)
        if fault.expects == "enable-endpoint" and not problem:
            try:
                stripe.buy(stack)
            except StandInError as error:
                problem = str(error)
        return [*found, *([f"outside still sees: {problem}"] if problem else [])]

    @property
    def proof(self) -> str:
        """What was seen."""
        return "whoever paid is served, stolen tokens are refused, and no other row is another"


def _rows(stack: Stack) -> dict[str, Any]:
    """Return the digest of the tables without notes, and the rows of each buyer by themselves."""
    ids = [int(one.subscriber) for one in stripe.buyers(stack)] or [0]
    taken: dict[str, Any] = {}
    for table, key, columns in (
        ("public.subscribers", "id", "id, email, status, stripe_customer_id, force_password_reset"),
        ("public.subscriptions", "subscriber_id", "id, status, stripe_subscription_id, period, price"),
        ("public.api_tokens", "subscriber_id", "id, revoked_at, revoked_reason"),
        ("public.refresh_tokens", "subscriber_id", "id, revoked_at, revoked_reason"),
        ("public.owl_sessions", "subscriber_id", "id, revoked_at, revoked_reason"),
    ):
        hashed = f"coalesce(sum(hashtextextended(({columns})::text, 0)::numeric), 0)::text"
        rows = stack.server().execute(
            f"SELECT {key} = ANY(%s), CASE WHEN {key} = ANY(%s) THEN {key} END, count(*), {hashed}"  # noqa: S608
            f" FROM {table} GROUP BY 1, 2",
            (ids, ids),
            database=stack.database,
        )
        for ours, number, count, digest in rows:
            name = f"subscriber {number}" if ours else f"the rest of {table}"
            taken.setdefault(name, {})[table] = [count, digest]
    return taken


CASE = BillingWebhookMissed
