"""`billing_reconcile`: who paid and is not served, and everything that only looks like it."""

from __future__ import annotations

import copy
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.plugin_utils import billing_payments
from billing_world import TABLES, World

HOUR = 3600.0


def with_table(which: str, **changed: Any) -> dict[str, Any]:
    """Return the option of one table with some of it changed."""
    return {which: {**copy.deepcopy(TABLES[which]), **changed}}


def test_when_the_event_arrives_nothing_is_missed(world: World) -> None:
    world.missed(lost=False)
    world.until(lambda: world.account.state["deliveries"][0]["status"] == 200)
    result = world.act("billing_reconcile")
    assert {f["check"]: f["status"] for f in result["findings"]} == dict.fromkeys(
        ("billing_webhook_endpoint", "billing_webhook_pending", "billing_missed", "billing_ended"), "ok"
    )
    assert {f["host"] for f in result["findings"]} == {"db1"}
    assert "All 1 checkouts" in world.finding(result).summary
    assert result["changed"] is False


def test_a_lost_event_is_found_and_whoever_paid_is_masked(world: World) -> None:
    who = world.missed(email="Zoë.O'Brien@Example.org")
    result = world.act("billing_reconcile")
    found = world.finding(result)
    assert (found.status, found.observed["count"], found.observed["resendable"]) == ("fail", 1, 1)
    assert "Z***@Example.org" in found.summary
    assert "Brien" not in str(result["findings"])
    assert [(m["subscriber_id"], m["event"], m["matched_by"]) for m in result["missed"]] == [
        (who.id, who.event, "customer")
    ]
    pending = world.finding(result, "billing_webhook_pending")
    assert (pending.status, pending.observed["events"]) == ("fail", [who.event])


def test_a_disabled_endpoint_is_said_to_be_disabled(world: World) -> None:
    endpoint = next(iter(world.account.state["endpoints"].values()))
    endpoint["status"] = "disabled"
    found = world.finding(world.act("billing_reconcile"), "billing_webhook_endpoint")
    assert (found.status, found.observed["status"]) == ("fail", "disabled")
    endpoint.update(status="enabled", enabled_events=["invoice.paid"])
    found = world.finding(world.act("billing_reconcile"), "billing_webhook_endpoint")
    assert "not subscribed to checkout.session.completed" in found.summary
    found = world.finding(world.act("billing_reconcile", endpoint="we_other"), "billing_webhook_endpoint")
    assert found.status == "fail"
    assert endpoint["url"] in found.summary


@pytest.mark.parametrize(
    ("pay", "kind"),
    [
        ({"payment_status": "unpaid"}, "unpaid"),
        ({"subscription_status": "canceled"}, "ended"),
        ({"subscription_status": "incomplete_expired"}, "ended"),
        ({"mode": "payment"}, "other"),
    ],
)
def test_a_completed_checkout_that_needs_no_service_is_not_missed(
    world: World, pay: dict[str, Any], kind: str
) -> None:
    world.missed(pay=pay)
    found = world.finding(world.act("billing_reconcile"))
    assert (found.status, found.observed["others"]) == ("ok", {kind: 1, "paid": 0})


def test_a_trial_without_payment_counts_as_paid(world: World) -> None:
    pay = {"payment_status": "no_payment_required", "subscription_status": "trialing"}
    world.missed(pay=pay)
    assert world.finding(world.act("billing_reconcile")).status == "fail"
    world.sql("UPDATE public.subscribers SET status = 'trial'")
    world.sql("UPDATE public.subscriptions SET status = 'trialing'")
    assert world.finding(world.act("billing_reconcile")).status == "fail"
    trial = with_table("subscribers", served={"active": ["active"], "trialing": ["trial", "active"]})
    assert world.finding(world.act("billing_reconcile", **trial)).status == "ok"


def test_an_event_under_way_is_not_missed_yet(world: World) -> None:
    world.missed()
    result = world.act("billing_reconcile", grace=60)
    assert world.finding(result).observed["others"] == {"fresh": 1, "paid": 0}
    assert world.finding(result, "billing_webhook_pending").status == "ok"


def test_who_is_served_without_a_subscription_at_stripe_is_told(world: World) -> None:
    who = world.missed(lost=False)
    world.until(lambda: world.status(who.id)[0] == "active")
    world.account.cancel(who.subscription)
    found = world.finding(world.act("billing_reconcile"), "billing_ended")
    assert (found.status, found.observed["subscriptions"]) == ("warn", [who.subscription])


def test_what_is_older_than_stripes_events_is_found_by_its_checkout(world: World) -> None:
    world.missed(pay={"age": 35 * 24 * HOUR})
    assert world.finding(world.act("billing_reconcile")).observed["paid"] == 0
    found = world.finding(world.act("billing_reconcile", window_hours=40 * 24))
    assert (found.observed["activatable"], found.observed["resendable"]) == (1, 0)
    assert "older than the 30 days" in found.summary


def test_every_page_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.account, "save", lambda: None)  # a file per checkout would take seconds
    for number in range(205):
        world.account.checkout(f"n{number}@example.org", customer=f"cus_{number}", deliver=False)
    who = world.subscriber("n0@example.org", customer="cus_0")
    result = world.act("billing_reconcile")
    found = world.finding(result)
    assert (found.observed["paid"], found.observed["verdicts"]) == (205, {"unknown": 204, "missed": 1})
    assert who in {m["subscriber_id"] for m in result["missed"]}
    assert "and 200 more" in found.summary
    pages = [r for r in world.stripe.requests() if r["path"] == "/v1/checkout/sessions"]
    assert len(pages) == 3


def test_several_missed_are_a_reason_to_escalate(world: World) -> None:
    for _ in range(2):
        world.missed()
    assert "escalate" not in world.finding(world.act("billing_reconcile")).summary
    world.missed()
    found = world.finding(world.act("billing_reconcile"))
    assert found.observed["escalate"] is True
    assert "3 or more: escalate" in found.summary


def test_one_subscriber_is_looked_at_however_the_address_is_written(world: World) -> None:
    who, other = world.missed(), world.missed()
    result = world.act("billing_reconcile", email=f"  {who.email.upper()} ")
    assert [m["subscriber_id"] for m in result["missed"]] == [who.id]
    by_id = world.act("billing_reconcile", subscriber_id=other.id)
    assert [m["subscriber_id"] for m in by_id["missed"]] == [other.id]
    assert "billing_ended" not in {f["check"] for f in by_id["findings"]}


@pytest.mark.parametrize(
    "email", ["nobody@example.org", "x' OR '1'='1", "'; DROP TABLE subscribers; --", "%", "a\\'b"]
)
def test_an_address_is_data_whatever_it_contains(world: World, email: str) -> None:
    world.missed()
    found = world.finding(world.act("billing_reconcile", email=email))
    assert (found.status, found.observed) == ("unknown", {"subscribers": 0})
    assert email not in found.summary
    assert world.sql("SELECT count(*) FROM public.subscribers") == [(1,)]


def test_an_address_of_two_accounts_asks_for_the_id(world: World) -> None:
    world.sql(
        "CREATE TABLE public.people AS SELECT id, email::text, status, stripe_customer_id"
        " FROM public.subscribers"
    )
    world.sql(
        "INSERT INTO public.people VALUES (1, 'two@example.org', 'pending'), (2, 'Two@Example.org', 'closed')"
    )
    result = world.act(
        "billing_reconcile", email="two@example.org", **with_table("subscribers", table="public.people")
    )
    assert "ids 1, 2" in world.finding(result).summary


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"do": "status 429", "headers": {"Retry-After": "0.01"}}, "status 429"),
        ({"do": "status 503", "headers": {"Retry-After": "0.01"}}, "status 503"),
        ({"do": "reset"}, "no answer"),
        ({"do": "garbage"}, "not JSON"),
        ({"do": "status 401"}, "api_key"),
    ],
)
def test_what_stripe_does_not_tell_is_unknown(
    world: World, fault: dict[str, Any], said: str, no_pause: None
) -> None:
    world.missed()
    world.stripe.set_faults({"path": "^/v1/", **fault})
    result = world.act("billing_reconcile")
    assert {f["status"] for f in result["findings"]} == {"unknown"}
    assert len(result["findings"]) == 4
    assert said in result["findings"][0]["summary"]


def test_a_hasty_client_waits_as_long_as_stripe_says(world: World) -> None:
    world.missed()
    world.stripe.set_faults({"do": "status 429", "times": 2, "headers": {"Retry-After": "0.2"}})
    began = time.monotonic()
    assert world.finding(world.act("billing_reconcile")).status == "fail"
    assert time.monotonic() - began > 0.4


def test_what_was_measured_before_the_failure_is_kept(world: World, no_pause: None) -> None:
    world.stripe.set_faults({"do": "status 500", "path": "/v1/checkout"})
    statuses = {f["check"]: f["status"] for f in world.act("billing_reconcile")["findings"]}
    assert statuses["billing_webhook_endpoint"] == "ok"
    assert statuses["billing_missed"] == "unknown"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"api_key": "sk_live_canary123"}, "api_key is of live mode, but mode is test"),
        ({"api_key": "whsec_canary"}, "no secret or restricted key"),
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": "sk_test_canaryWRONG"}, "set api_key"),
        ({"stripe": {"payments": []}}, "leave it out"),
    ],
)
def test_a_key_that_cannot_be_right_says_what_to_set(world: World, wrong: dict[str, Any], said: str) -> None:
    result = world.act("billing_reconcile", **wrong)
    assert said in result["findings"][0]["summary"]
    assert "canary" not in str(result)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (with_table("subscribers", table="public.members"), "there is no such table"),
        (with_table("subscribers", customer="cust"), "no column cust"),
        (with_table("subscriptions", status="state"), "no column state"),
        (with_table("subscribers", served={"active": ["alive"]}), "status of public.subscribers is of type"),
        (with_table("subscribers", served={"paused": ["active"]}), "give a list of statuses for active"),
        ({"events": {"table": "billing.webhooks", "event": "id"}}, "there is no such table"),
        ({"login_password": "canary-wrong"}, "login_password"),
        ({"database": "nowhere"}, "does not exist"),
    ],
)
def test_an_inventory_that_does_not_fit_the_database_names_what_is_wrong(
    world: World, options: dict[str, Any], said: str
) -> None:
    world.missed()
    found = world.finding(world.act("billing_reconcile", **options))
    assert found.status == "unknown"
    assert said in found.summary
    assert "Next: " in found.summary


def test_a_wrong_clock_is_told_and_stripes_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.missed()
    real = time.time
    wrong = SimpleNamespace(time=lambda: real() + 40 * 24 * HOUR)
    monkeypatch.setattr(billing_payments, "time", wrong)
    result = world.act("billing_reconcile")
    assert world.finding(result).observed["count"] == 1
    assert "ahead of Stripe's" in result["warnings"][0]


def test_as_a_hint_nothing_is_worse_than_a_warning(world: World, no_pause: None) -> None:
    world.missed()
    checks = ["billing_missed", "billing_ended"]
    result = world.act(
        "billing_reconcile", checks=checks, follow_up="runbook run roost billing-webhook-missed"
    )
    assert [(f["check"], f["status"]) for f in result["findings"]] == [
        ("billing_missed", "warn"),
        ("billing_ended", "ok"),
    ]
    assert result["findings"][0]["summary"].endswith("Next: runbook run roost billing-webhook-missed")
    world.stripe.set_faults({"do": "status 500"})
    result = world.act("billing_reconcile", checks=checks, follow_up="look")
    assert {f["status"] for f in result["findings"]} == {"warn"}


def test_named_checkouts_have_to_be_paid_and_served(world: World) -> None:
    who, other = world.missed(), world.missed()
    checks = ["billing_missed"]
    assert (
        world.finding(world.act("billing_reconcile", checks=checks, sessions=[who.session])).status == "fail"
    )
    world.act("billing_activate", subscriber_id=who.id)
    assert world.finding(world.act("billing_reconcile", checks=checks, sessions=[who.session])).status == "ok"
    world.account.cancel(other.subscription)
    found = world.finding(
        world.act("billing_reconcile", checks=checks, sessions=[who.session, other.session])
    )
    assert (found.status, "do not count as paid any more" in found.summary) == ("fail", True)


def test_the_key_never_leaves_the_controller(world: World) -> None:
    who = world.missed()
    results = [
        world.act("billing_reconcile"),
        world.act("webhook_resend", check=True),
        world.act("billing_activate", email=who.email),
    ]
    key = world.account.state["api_key"]
    assert len(world.sent) >= 3
    assert key not in str(world.sent)
    assert key not in str(results)
    assert str(world.login["login_password"]) not in str(results)
