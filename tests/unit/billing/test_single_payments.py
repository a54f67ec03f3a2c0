"""What is paid once, without a subscription: checkouts of mode payment, held against a table of payments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import at_stripe
from billing_world import World

_SESSION = {"status": "complete", "payment_status": "paid", "mode": "payment", "payment_intent": "pi_1"}
_SUBSCRIBED = {"mode": "subscription", "subscription": {"id": "sub_1", "status": "active"}}
_TABLES = {
    "subscribers": {
        "table": "public.subscribers",
        "customer": "stripe_customer_id",
        "served": {"active": ["pending", "active"]},
        "activate_from": [],
    },
    "subscriptions": {
        "table": "public.sales",
        "mode": "payment",
        "subscription": "intent",
        "served": {"active": ["paid", "refunded"]},
        "activate_from": ["open"],
    },
}


@pytest.mark.parametrize(
    ("changes", "mode", "kind"),
    [
        ({}, "payment", "paid"),
        ({"payment_intent": {"id": "pi_1"}}, "payment", "paid"),
        ({"payment_status": "unpaid"}, "payment", "unpaid"),
        ({"payment_intent": None}, "payment", "other"),
        ({}, "subscription", "other"),
        (_SUBSCRIBED, "subscription", "paid"),
        (_SUBSCRIBED, "payment", "other"),
    ],
)
def test_only_checkouts_of_the_mode_that_is_sold_count(
    changes: Mapping[str, Any], mode: str, kind: str
) -> None:
    assert at_stripe({**_SESSION, **changes}, 0.0, 1.0, mode)[0] == kind


@pytest.fixture
def sales(world: World) -> Iterator[World]:
    """A table of payments, one for each order."""
    world.sql("CREATE TABLE public.sales (id serial, subscriber_id bigint, intent text, status text)")
    yield world
    world.sql("DROP TABLE public.sales")


def _order(world: World, status: str, word: str = "1") -> str:
    known = world.subscriber(row=None, customer=f"cus_{word}")
    world.sql("INSERT INTO public.sales VALUES (DEFAULT, %s, %s, %s)", known, f"pi_{word}", status)
    about = {"customer": f"cus_{word}", "mode": "payment", "payment_intent": f"pi_{word}"}
    world.pay("owl@example.org", **about)
    return known


def test_a_payment_that_the_table_does_not_know_is_missed_and_can_be_put_right(sales: World) -> None:
    _order(sales, "open")
    missed = sales.finding(sales.act("billing_reconcile", **_TABLES))
    assert (missed.status, missed.observed["activatable"], missed.observed["resendable"]) == ("fail", 1, 1)
    assert "the subscriber is pending, the payment open" in missed.summary
    done = sales.act("billing_activate", **_TABLES, tokens=[], audit=None)
    assert sales.sql("SELECT status FROM public.sales") == [("paid",)]
    # The payment alone: who the customer is to the application is none of its business.
    assert [change["table"] for change in done["undo"]["args"]["ledger"]["changes"]] == ["public.sales"]
    assert sales.finding(sales.act("billing_reconcile", **_TABLES)).status == "ok"


@pytest.mark.parametrize("status", ["paid", "refunded"])
def test_what_is_known_or_was_paid_back_is_not_missed(sales: World, status: str) -> None:
    _order(sales, status)
    assert sales.finding(sales.act("billing_reconcile", **_TABLES)).status == "ok"


def test_events_are_sent_again_in_the_order_in_which_they_happened(sales: World) -> None:
    for word in ("1", "2", "3"):
        _order(sales, "open", word)
    state = sales.account.state
    for age, event in enumerate(reversed(list(state["events"].values()))):
        event["created"] -= 10 * age
    planned = sales.act("webhook_resend", check=True, **_TABLES)
    assert [one["subscription"] for one in planned["resent"]] == ["pi_1", "pi_2", "pi_3"]
