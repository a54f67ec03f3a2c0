"""notification-provider-failing: messages to customers are refused by their provider, or wait."""

from __future__ import annotations

from typing import Any, ClassVar

from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.parts import services as part
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import notifications, services, vendors
from runbook.rehearsal.symptoms.together import all_of

_PRIMARY = {"path": "^/email-primary/", "do": "status 503"}
_SECONDARY = {"path": "^/email-secondary/", "do": "status 503"}
_HEALED = vendors.behave("messages")
_SYMPTOMS = (
    Symptom(
        "provider-down",
        "the provider of e-mail answers with errors; the other one is well",
        all_of(vendors.misbehave("messages", _PRIMARY), notifications.queue("receipt", 5)),
        _HEALED,
        expects="switch-provider",
        finds=("notification_provider", "notification_failures"),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "key-refused",
        "the provider of e-mail refuses the key; the other one is well",
        all_of(
            vendors.misbehave("messages", {**_PRIMARY, "do": "status 401"}),
            notifications.queue("receipt", 5),
        ),
        _HEALED,
        expects="switch-provider",
        finds=("notification_provider", "notification_failures"),
    ),
    Symptom(
        "both-down",
        "neither provider of e-mail takes a message: each that is tried becomes a dead letter",
        all_of(vendors.misbehave("messages", _PRIMARY, _SECONDARY), notifications.queue("receipt", 5)),
        _HEALED,
        expects="pause-sending",
        finds=("notification_provider", "notification_failures"),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "still-paused",
        "sending was paused and never begun again: messages wait",
        all_of(
            services.change_settings("worker", NOTIFICATIONS_PAUSED="true"),
            notifications.queue("reminder", 8, waiting_minutes=20),
        ),
        services.change_settings("worker", NOTIFICATIONS_PAUSED="false"),
        expects="resume-sending",
        finds=("notification_queue",),
        damages=True,
    ),
    Symptom(
        "other-fails-too",
        "the other provider fails as soon as it is asked to send",
        all_of(vendors.misbehave("messages", _PRIMARY), notifications.queue("receipt", 5)),
        _HEALED,
        kind="failing step",
        expects="switch-provider",
        finds=("notification_provider", "notification_failures"),
        later=all_of(
            vendors.misbehave("messages", _PRIMARY, {**_SECONDARY, "method": "POST"}),
            notifications.queue("receipt", 5),
        ),
        ends="not verified",
        says="dead letter",
    ),
    Symptom(
        "account-garbage",
        "a provider's account page answers with HTML: nothing is known of it, and messages arrive",
        vendors.misbehave("messages", {"path": "^/email-primary/account", "do": "garbage"}),
        _HEALED,
        kind="failing dependency",
        finds=("notification_provider",),
    ),
)


class NotificationProviderFailing(Case):
    """Outside is a message that has to arrive; the picture is the settings, and what arrived twice."""

    runbook = "notification-provider-failing"
    parts: ClassVar = frozenset({"database", "services", "messages"})
    default = "provider-down"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"switch-provider": ("pause-sending", "resume-sending")}

    def problem_outside(self, stack: Stack) -> str:
        """Have one message of each channel sent, and read the account pages."""
        paused = part.read_settings(stack.facts).get("NOTIFICATIONS_PAUSED") == "true"
        if paused:
            waiting = notifications.unsent(stack)
            return f"{waiting} messages wait while sending is paused" if waiting else ""
        return self._arrive(stack) or notifications.accounts(stack)

    @staticmethod
    def _arrive(stack: Stack) -> str:
        problems = (notifications.arrives(stack, kind) for kind in ("receipt", "login_code"))
        return next((problem for problem in problems if problem), "")

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take the settings of the services, and what must never be: a message that arrived twice."""
        kept = {k: v for k, v in part.read_settings(stack.facts).items() if not k.startswith("DATABASE")}
        return {"settings": kept, "messages that arrived twice": notifications.sent_twice(stack)}

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:  # noqa: ARG002
        """See messages arrive, or, while sending is paused, none become a dead letter."""
        twice = notifications.sent_twice(stack)
        found = [f"{key} arrived twice" for key in twice]
        if fault.mitigation == "pause-sending":
            return found
        problem = self._arrive(stack)
        return [*found, *([problem] if problem else [])]

    @property
    def proof(self) -> str:
        """What was seen."""
        return "messages arrive, each once, or wait for a provider that can take them"


CASE = NotificationProviderFailing
