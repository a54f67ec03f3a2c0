"""billing-webhook-missed: somebody has paid a cleaning, and the platform does not know it."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal.cases.base import Symptom, changed
from runbook.rehearsal.cases.billing import BillingCase
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import payments, services, stripe, vendors
from runbook.rehearsal.symptoms.together import all_of

_SYMPTOMS = (
    Symptom(
        "webhook-lost",
        "two people paid while the handler failed: both events are pending",
        payments.lose(2),
        expects="resend-event",
        finds=("billing_missed", "billing_webhook_pending"),
    ),
    Symptom(
        "secret-rotated",
        "the API has another signing secret than Stripe signs with: it refuses every event",
        payments.another_secret,
        payments.right_secret,
        expects="restore-secret",
        finds=("service_settings",),
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
        "event-swallowed",
        "the handler noted the event and did nothing: sent again it would be taken for a repetition",
        payments.lose(swallow=True),
        expects="activate-subscriber",
        finds=("billing_missed",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "handler-still-fails",
        "an event was lost, and the handler is as broken as it was: sending it again does not help",
        payments.lose_for_good,
        kind="failing step",
        expects="resend-event",
        finds=("billing_missed",),
        ends="failed",
        says="the payment open",
        relief=services.tell("api"),
        then="resume",
    ),
    Symptom(
        "stripe-down",
        "an event was lost, and Stripe answers nothing but 503",
        all_of(payments.lose(), vendors.misbehave("stripe", {"do": "status 503"})),
        stripe.calm,
        kind="failing dependency",
        unsure=("billing_missed",),
    ),
)


class BillingWebhookMissed(BillingCase):
    """Outside is whoever paid: the platform has to know it. The picture is payments, secret and endpoint."""

    symptoms = _SYMPTOMS

    def problem_outside(self, stack: Stack) -> str:
        """See each payment known, those alone, and an event of Stripe taken."""
        for one in payments.payments(stack):
            known = payments.status(stack, one)
            if known != ("paid" if one.paid else "open"):
                return f"payment {one.intent} is {known}, and was {'paid' if one.paid else 'not paid'}"
        if stripe.endpoint(stack)["status"] != "enabled":
            return "the webhook endpoint is disabled: whoever pays now is not known to have paid"
        said = payments.refused(stack)
        return f"an event that Stripe signed is refused: {said}" if said else ""

    def healthy(self, stack: Stack) -> str:
        """See an event arrive, and leave a checkout that is complete and not paid, which nobody missed."""
        payments.pay(stack)
        payments.pay(stack, payment_status="unpaid")
        return super().healthy(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take every payment, the signing secret and the endpoint's status."""
        return payments.digest(stack)

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Also see that nothing but what was missed is another, and that a new event arrives."""
        now, ours = payments.digest(stack), {f"payment {one.intent}" for one in payments.payments(stack)}
        allowed = ours | {"the webhook endpoint", "the signing secret"}
        found = changed(before, now, before.keys() - allowed)
        problem = self.problem_outside(stack)
        if not problem and fault.expects in ("enable-endpoint", "restore-secret"):
            payments.pay(stack)
        return [*found, *([f"outside still sees: {problem}"] if problem else [])]

    @property
    def proof(self) -> str:
        """What was seen."""
        return (
            "whoever paid is known to have paid, Stripe's events are taken, and no other payment is another"
        )


CASE = BillingWebhookMissed
