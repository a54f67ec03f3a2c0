"""`webhook_resend` and `webhook_endpoint`: sent once, seen to have worked, and set back."""

from __future__ import annotations

from typing import Any

import pytest
from billing_world import World


def test_an_event_is_sent_again_once_and_the_subscriber_is_served(world: World) -> None:
    who = world.missed(tokens=["non_payment", "breach"])
    planned = world.act("webhook_resend", check=True)
    assert (planned["changed"], world.retries()) == (True, [])
    done = world.act("webhook_resend")
    assert done["diff"] == planned["diff"]
    assert world.retries() == [f"/v1/events/{who.event}/retry"]
    assert world.status(who.id) == ("active", ["active"], [None, "breach"])
    assert done["undo"]["reversible"] is False
    again = world.act("webhook_resend")
    assert (again["changed"], len(world.retries())) == (False, 1)


def test_when_the_handler_is_down_the_event_is_sent_once_and_the_failure_told(world: World) -> None:
    who = world.missed()
    world.handler.fault = {"status": 500}
    failed = world.act("webhook_resend", email=who.email, timeout=0.5)
    assert (failed["error"]["kind"], len(world.retries())) == ("verification", 1)
    assert "activate-subscriber" in failed["msg"]
    assert world.status(who.id)[0] == "pending"


def test_an_answer_that_was_lost_is_looked_for_not_asked_for_again(world: World) -> None:
    who = world.missed()
    world.stripe.set_faults({"do": "stall 0.7", "path": "/retry$"})
    done = world.act("webhook_resend", api_timeout=0.3, timeout=5)
    assert "failed" not in done
    assert world.status(who.id)[0] == "active"
    assert (
        len([r for r in world.stripe.requests() if r["path"].endswith("/retry") and r["status"] == 200]) == 1
    )


def test_an_answer_that_was_lost_before_it_was_sent_is_told(world: World) -> None:
    world.missed()
    world.stripe.set_faults({"do": "reset", "path": "/retry$"})
    failed = world.act("webhook_resend", timeout=0.3)
    assert "Stripe's answer was lost" in failed["msg"]
    assert len(world.retries()) == 1


def test_what_stripe_refuses_is_not_tried_again(world: World) -> None:
    who = world.missed()
    world.stripe.set_faults({"do": "status 429", "path": "/retry$"})
    failed = world.act("webhook_resend", timeout=0.3)
    assert (failed["error"]["kind"], failed["left_unchanged"]) == ("rate_limited", True)
    assert (len(world.retries()), world.status(who.id)[0]) == (1, "pending")


@pytest.mark.parametrize(
    ("missed", "said"),
    [
        ({"pay": {"age": 31 * 86400}}, "Stripe has no event of this checkout any more"),
        ({"status": "suspended"}, "the subscriber is suspended"),
    ],
)
def test_what_an_event_cannot_help_is_refused(world: World, missed: dict[str, Any], said: str) -> None:
    who = world.missed(**missed)
    failed = world.act("webhook_resend", email=who.email)
    assert (failed["error"]["kind"], said in failed["msg"], world.retries()) == ("not_resendable", True, [])


def test_an_event_that_was_handled_already_is_not_sent_again(world: World) -> None:
    who = world.missed()
    world.sql("INSERT INTO billing.webhook_events VALUES (%s, 'checkout.session.completed')", who.event)
    assert world.finding(world.act("billing_reconcile")).observed["resendable"] == 0
    failed = world.act("webhook_resend", email=who.email)
    assert ("handled this event already" in failed["msg"], world.retries()) == (True, [])


def test_a_row_that_only_the_application_can_make_is_reached_by_its_event(world: World) -> None:
    who = world.missed(row=None)
    assert world.act("webhook_resend", check=True)["resent"][0]["subscriber_id"] == who.id


def test_a_disabled_endpoint_is_enabled_first_and_set_back_by_the_undo(world: World) -> None:
    who = world.missed()
    (endpoint,) = world.account.state["endpoints"].values()
    endpoint["status"] = "disabled"
    failed = world.act("webhook_resend", email=who.email)
    assert (failed["error"]["kind"], "enable-endpoint" in failed["msg"]) == ("endpoint_disabled", True)

    planned = world.act("webhook_endpoint", check=True)
    assert (planned["changed"], endpoint["status"]) == (True, "disabled")
    done = world.act("webhook_endpoint")
    assert (done["diff"], endpoint["status"]) == (planned["diff"], "enabled")
    assert world.act("webhook_endpoint")["changed"] is False
    assert world.act("webhook_resend", email=who.email)["changed"] is True
    args = done["undo"]["args"]
    undone = world.act("webhook_endpoint", endpoint=args["endpoint"], state=args["state"])
    assert (undone["changed"], endpoint["status"]) == (True, "disabled")


def test_an_endpoint_that_is_not_there_names_those_that_are(world: World) -> None:
    (endpoint,) = world.account.state["endpoints"].values()
    failed = world.act("webhook_endpoint", endpoint="https://old.example.org/stripe")
    assert (failed["error"]["kind"], endpoint["url"] in failed["msg"]) == ("no_endpoint", True)


def test_an_endpoint_that_does_not_stay_enabled_is_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (endpoint,) = world.account.state["endpoints"].values()
    endpoint["status"] = "disabled"
    monkeypatch.setattr("runbook.rehearsal.vendors.stripe._boolean", lambda *_: True)
    failed = world.act("webhook_endpoint")
    assert (failed["error"]["kind"], "it is disabled" in failed["msg"]) == ("verification", True)
