"""`billing_activate`: exactly the right rows, on Stripe's word only, taken back exactly."""

from __future__ import annotations

import threading
import uuid
from contextlib import closing
from types import SimpleNamespace
from typing import Any
from unittest import mock

import psycopg2
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.billing import session
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from billing_world import CHANGING, TABLES, World


def audit(world: World) -> list[Any]:
    """Return what was written into the audit table."""
    return world.sql("SELECT detail ->> 'did', detail ->> 'subscriber' FROM public.audit_log ORDER BY id")


def test_exactly_what_the_event_would_have_done_is_done_and_taken_back(world: World) -> None:
    who = world.missed(tokens=["non_payment", "breach", "rotation", "user", None, "non_payment"])
    world.subscription(who.id, "canceled", "sub_old")
    bystander = world.subscriber(tokens=["non_payment"])
    before = world.picture()

    planned = world.act("billing_activate", email=who.email, check=True)
    assert planned["changed"] is True
    assert world.picture() == before
    done = world.act("billing_activate", email=who.email)
    assert done["diff"] == planned["diff"]
    assert done["prediction"] == planned["prediction"]
    assert world.status(who.id) == (
        "active",
        ["active", "canceled"],
        [None, "breach", "rotation", "user", None, None],
    )
    assert world.status(bystander) == ("pending", ["incomplete"], ["non_payment"])
    period = world.sql(
        "SELECT period::text FROM public.subscriptions WHERE stripe_subscription_id = %s", who.subscription
    )
    assert ",)" not in period[0][0]
    assert audit(world) == [("activated", who.id)]

    again = world.act("billing_activate", email=who.email)
    assert (again["changed"], again["diff"], "undo" in again) == (False, {"before": "", "after": ""}, False)
    ledger = done["undo"]["args"]["ledger"]
    plan = world.act("billing_activate", state="restored", ledger=ledger, check=True)
    assert plan["changed"] is True
    undone = world.act("billing_activate", state="restored", ledger=ledger)
    assert undone["diff"] == plan["diff"]
    assert world.picture() == before
    assert world.act("billing_activate", state="restored", ledger=ledger)["changed"] is False
    assert audit(world) == [("activated", who.id), ("taken back", who.id)]


def test_a_sweep_activates_everybody_who_was_missed_and_nobody_else(world: World) -> None:
    missed = [world.missed() for _ in range(3)]
    held = world.missed(status="suspended")
    unpaid = world.missed(pay={"payment_status": "unpaid"})
    world.pay("stranger@example.org")
    done = world.act("billing_activate")
    assert sorted(a["subscriber_id"] for a in done["activated"]) == sorted(m.id for m in missed)
    assert sorted(left["verdict"] for left in done["left_alone"]) == ["held", "unknown"]
    assert [world.status(w.id)[0] for w in (*missed, held, unpaid)] == ["active"] * 3 + [
        "suspended",
        "pending",
    ]


def test_two_operators_at_once_activate_once(world: World) -> None:
    who = world.missed(tokens=["non_payment"])
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(world.act("billing_activate", email=who.email)))
        for _ in range(2)
    ]
    # Both have to be at the rows at the same time: they wait behind this lock.
    with closing(world.server.connect(world.database)) as holder:
        holder.cursor().execute("SELECT 1 FROM public.subscribers WHERE id = %s FOR UPDATE", (who.id,))
        for thread in threads:
            thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        world.until(lambda: world.sql(waiting, world.database) == [(2,)])
        holder.rollback()
        for thread in threads:
            thread.join(10)
    assert sorted(r["changed"] for r in results) == [False, True]
    assert audit(world) == [("activated", who.id)]


def test_a_late_delivery_after_an_activation_changes_nothing(world: World) -> None:
    who = world.missed(tokens=["non_payment", "breach"])
    world.act("billing_activate")
    before = world.picture()
    event = world.account.state["events"][who.event]
    for endpoint in world.account.state["endpoints"].values():
        world.account.deliver(event, endpoint)
        world.account.deliver(event, endpoint)
    world.until(lambda: [d["status"] for d in world.account.state["deliveries"]].count(200) == 2)
    assert world.picture() == before
    assert world.finding(world.act("billing_reconcile")).status == "ok"


@pytest.mark.parametrize(
    ("pay", "said"),
    [
        ({"payment_status": "unpaid"}, "payment_status is unpaid"),
        ({"subscription_status": "canceled"}, "the subscription is canceled at Stripe now"),
    ],
)
def test_without_a_completed_payment_nobody_is_activated(
    world: World, pay: dict[str, Any], said: str
) -> None:
    who = world.missed(pay=pay)
    before = world.picture()
    failed = world.act("billing_activate", email=who.email)
    assert (failed["failed"], failed["error"]["kind"], failed["left_unchanged"]) == (True, "not_paid", True)
    assert said in failed["msg"]
    assert world.picture() == before


def test_who_never_was_at_stripe_is_not_activated(world: World) -> None:
    world.subscriber("owl@example.org")
    assert "no checkout at all" in world.act("billing_activate", email="owl@example.org")["msg"]


@pytest.mark.parametrize("status", ["suspended", "closed", "paused"])
def test_a_status_that_a_payment_does_not_end_has_to_be_confirmed(world: World, status: str) -> None:
    who = world.missed(status=status)
    for given in ("", "pending"):
        failed = world.act("billing_activate", email=who.email, confirm_status=given)
        assert (failed["error"]["kind"], world.status(who.id)[0]) == ("held", status)
        assert "confirm_status" in failed["msg"]
    done = world.act("billing_activate", email=who.email, confirm_status=status)
    assert (done["changed"], world.status(who.id)[0]) == (True, "active")
    world.act("billing_activate", state="restored", ledger=done["undo"]["args"]["ledger"])
    assert world.status(who.id)[0] == status


@pytest.mark.parametrize("email", ["nobody@example.org", "o' OR 1=1 --", "%@example.org"])
def test_an_unknown_address_is_refused(world: World, email: str) -> None:
    who = world.missed()
    failed = world.act("billing_activate", email=email)
    assert (failed["error"]["kind"], world.status(who.id)[0]) == ("unknown", "pending")
    assert email in failed["msg"]


def test_an_apostrophe_is_part_of_an_address(world: World) -> None:
    who = world.missed(email="o'brien@example.org")
    assert world.act("billing_activate", email=who.email)["changed"] is True


def test_an_address_of_two_accounts_is_refused_until_one_is_named(world: World) -> None:
    who, other = world.missed(email="two@example.org"), world.subscriber(status="closed")
    # A table that allows what Roost's does not.
    world.sql("CREATE TABLE public.people AS SELECT id, email::text, status::text, stripe_customer_id"
              " FROM public.subscribers")  # fmt: skip
    world.sql("UPDATE public.people SET email = 'Two@example.org' WHERE id = %s", other)
    tables = {"subscribers": {**TABLES["subscribers"], "table": "people"}}
    failed = world.act("billing_activate", email=who.email, **tables)
    assert failed["error"]["kind"] == "ambiguous"
    assert f"{who.id} (pending), {other} (closed)" in failed["msg"]
    assert world.act("billing_activate", subscriber_id=who.id, **tables)["changed"] is True
    assert world.sql("SELECT status FROM public.people ORDER BY id") == [("active",), ("closed",)]


@pytest.mark.parametrize(
    "given", ["abc", "1; DROP TABLE subscribers", "9" * 30, "c0ffee00-0000-0000-0000-000000000000"]
)
def test_an_id_of_the_wrong_type_is_refused(world: World, given: str) -> None:
    failed = world.act("billing_activate", subscriber_id=given)
    assert failed["error"]["kind"] == "usage"
    assert "column id of public.subscribers is of type bigint" in failed["msg"]


def test_a_payment_of_somebody_else_activates_nobody(world: World) -> None:
    payer = world.subscriber("payer@example.org", customer="cus_payer", subscription="sub_payer")
    other = world.subscriber("other@example.org")
    # At Stripe the payer gave the other one's address.
    world.pay("other@example.org", customer="cus_payer", subscription="sub_payer")
    failed = world.act("billing_activate", email="other@example.org")
    assert f"belongs to subscriber {payer}, not to {other}" in failed["msg"]
    assert (world.status(payer)[0], world.status(other)[0]) == ("pending", "pending")
    assert world.act("billing_activate", email="payer@example.org")["changed"] is True


def test_a_row_that_waits_for_its_payment_is_linked_but_never_one_of_two(world: World) -> None:
    person = world.subscriber("owl@example.org", customer="cus_owl")
    world.pay("owl@example.org", customer="cus_owl", subscription="sub_new")
    world.subscription(person, "incomplete")
    failed = world.act("billing_activate", email="owl@example.org")
    assert (failed["error"]["kind"], "2 rows could be" in failed["msg"]) == ("conflict", True)
    world.sql("DELETE FROM public.subscriptions WHERE id = (SELECT max(id) FROM public.subscriptions)")
    assert world.act("billing_activate", email="owl@example.org")["changed"] is True
    assert world.sql("SELECT status, stripe_subscription_id FROM public.subscriptions") == [
        ("active", "sub_new")
    ]


def test_a_row_that_is_not_there_is_the_applications_to_make(world: World) -> None:
    who = world.missed(row=None)
    failed = world.act("billing_activate", email=who.email)
    assert (failed["error"]["kind"], "resend" in failed["msg"]) == ("no_row", True)


def test_a_row_of_another_subscriber_or_in_another_state_is_a_conflict(world: World) -> None:
    who = world.missed(row="canceled")
    assert "is canceled, but Stripe says active" in world.act("billing_activate", email=who.email)["msg"]
    other = world.subscriber(row=None)
    world.sql("UPDATE public.subscriptions SET subscriber_id = %s, status = 'incomplete'", other)
    assert f"is of subscriber {other}" in world.act("billing_activate", email=who.email)["msg"]


def test_a_row_that_somebody_holds_is_waited_for_and_then_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_WAIT_S", 1)
    who = world.missed()
    with closing(world.server.connect(world.database)) as holder:
        holder.cursor().execute("UPDATE public.subscribers SET notes = 'call' WHERE id = %s", (who.id,))
        failed = world.act("billing_activate", email=who.email)
    assert (failed["error"]["kind"], failed["left_unchanged"]) == ("locked", True)
    assert world.act("billing_activate", email=who.email)["changed"] is True


def test_a_token_that_a_breach_revokes_meanwhile_stays_revoked(world: World) -> None:
    who, results = world.missed(tokens=["non_payment", "non_payment"]), []
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'oncall-billing'"
    with closing(world.server.connect(world.database)) as breach:
        first = "(SELECT min(id) FROM public.api_tokens)"
        breach.cursor().execute(f"UPDATE public.api_tokens SET revoked_reason = 'breach' WHERE id = {first}")
        thread = threading.Thread(
            target=lambda: results.append(world.act("billing_activate", email=who.email))
        )
        thread.start()
        world.until(lambda: world.sql(waiting + " AND wait_event_type = 'Lock'") == [(1,)])
        breach.commit()
        thread.join(10)
    assert results[0]["prediction"]["tokens"] == 1
    assert world.status(who.id)[2] == ["breach", None]


def test_what_was_revoked_since_stays_revoked_by_an_undo(world: World) -> None:
    who = world.missed(tokens=["non_payment"])
    ledger = world.act("billing_activate")["undo"]["args"]["ledger"]
    revoke = "UPDATE public.api_tokens SET revoked_at = now(), revoked_reason = 'breach' RETURNING id::text"
    ((token,),) = world.sql(revoke)
    undone = world.act("billing_activate", state="restored", ledger=ledger)
    assert world.status(who.id) == ("pending", ["incomplete"], ["breach"])
    assert undone["left_alone"] == [
        {"table": "public.api_tokens", "key": {"id": token}, "reason": "it was changed since"}
    ]


def test_an_undo_never_overwrites_what_somebody_decided_since(world: World) -> None:
    who = world.missed(tokens=["non_payment"])
    ledger = world.act("billing_activate")["undo"]["args"]["ledger"]
    world.sql("UPDATE public.subscribers SET status = 'closed'")
    before = world.picture()
    failed = world.act("billing_activate", state="restored", ledger=ledger)
    assert (failed["error"]["kind"], world.picture()) == ("changed_since", before)
    assert "status=closed" in failed["msg"]
    assert world.status(who.id)[0] == "closed"


@pytest.mark.parametrize("ledger", [{}, {"changes": []}, {"changes": [{"table": "x"}]}, {"changes": ["x"]}])
def test_a_ledger_that_is_not_one_is_refused(world: World, ledger: dict[str, Any]) -> None:
    failed = world.act("billing_activate", state="restored", ledger=ledger)
    assert (failed["error"]["kind"], failed["left_unchanged"]) == ("ledger", True)


def test_when_one_row_cannot_be_written_none_is(world: World) -> None:
    world.missed(tokens=["non_payment"])
    world.sql("ALTER TABLE public.audit_log ADD CONSTRAINT full_up CHECK (action <> 'billing.activate')")
    before = world.picture()
    failed = world.act("billing_activate")
    assert (failed["error"]["kind"], failed["left_unchanged"]) == ("database", True)
    assert "full_up" in failed["msg"]
    assert world.picture() == before


@pytest.mark.parametrize(
    ("grants", "missing"),
    [
        ("GRANT SELECT ON ALL TABLES IN SCHEMA public, billing TO {}", "GRANT UPDATE"),
        ("GRANT SELECT, UPDATE ON public.subscribers, public.subscriptions TO {};"
         "GRANT SELECT ON billing.webhook_events TO {}", "GRANT SELECT ON"),
        ("GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public, billing TO {}", "GRANT INSERT ON"),
    ],
)  # fmt: skip
def test_a_role_that_may_not_is_told_what_to_grant(world: World, grants: str, missing: str) -> None:
    world.missed(tokens=["non_payment"])
    role = f"weak_{uuid.uuid4().hex[:8]}"
    world.sql(
        f"CREATE ROLE {role} LOGIN PASSWORD 'canary-weak'; GRANT USAGE ON SCHEMA public, billing TO {role}"
    )
    world.sql(grants.replace("{}", role))
    before = world.picture()
    for check in (True, False):
        failed = world.act("billing_activate", login_user=role, login_password="canary-weak", check=check)
        assert (failed["error"]["kind"], missing in failed["msg"]) == ("denied", True)
    assert world.picture() == before
    assert "canary-weak" not in str(failed)
    world.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokens": [{**CHANGING["tokens"][0], "table": "public.keys"}]}, "there is no such table"),
        ({"tokens": [{**CHANGING["tokens"][0], "reason": "why"}]}, "no column why"),
        ({"tokens": [{**CHANGING["tokens"][0], "unpaid": []}]}, "key or unpaid is empty"),
        ({"audit": {**CHANGING["audit"], "detail": "details"}}, "no column details"),
        ({"subscriptions": {**TABLES["subscriptions"], "period": "paid_for"}}, "no column paid_for"),
        ({"subscribers": {**TABLES["subscribers"], "activate_from": ["limbo"]}}, "limbo"),
        ({"email": "a@example.org", "subscriber_id": "1"}, "both given"),
    ],
)
def test_an_inventory_that_does_not_fit_changes_nothing(
    world: World, options: dict[str, Any], said: str
) -> None:
    world.missed(tokens=["non_payment"])
    before = world.picture()
    failed = world.act("billing_activate", **options)
    assert (failed["failed"], failed["left_unchanged"], said in failed["msg"]) == (True, True, True)
    assert world.picture() == before


def test_more_than_expected_is_refused(world: World) -> None:
    for _ in range(3):
        world.missed()
    failed = world.act("billing_activate", limit=2)
    assert (failed["error"]["kind"], "3 subscribers would be activated" in failed["msg"]) == (
        "too_many",
        True,
    )


@pytest.mark.parametrize(
    "fault", [{"do": "status 500"}, {"do": "status 429"}, {"do": "stall 5"}, {"do": "reset"}]
)
def test_without_stripes_word_nothing_is_changed(world: World, fault: dict[str, Any], no_pause: None) -> None:
    who = world.missed()
    world.stripe.set_faults(fault)
    failed = world.act("billing_activate", email=who.email, api_timeout=0.2)
    assert (failed["failed"], failed["left_unchanged"], world.status(who.id)[0]) == (True, True, "pending")
    assert "Next: " in failed["msg"]


def test_a_session_that_is_cut_off_leaves_nothing_behind(world: World) -> None:
    who = world.missed(tokens=["non_payment"])
    before, results = world.picture(), []
    waiting = "FROM pg_stat_activity WHERE application_name = 'oncall-billing' AND wait_event_type = 'Lock'"
    with closing(world.server.connect(world.database)) as holder:
        # The last table: everything else is locked and, where it comes first, changed by then.
        holder.cursor().execute("LOCK TABLE public.audit_log")
        thread = threading.Thread(
            target=lambda: results.append(world.act("billing_activate", email=who.email))
        )
        thread.start()
        world.until(lambda: world.sql(f"SELECT count(*) {waiting}") == [(1,)])
        world.sql(f"SELECT pg_terminate_backend(pid) {waiting}")
        thread.join(10)
        holder.rollback()
    assert (results[0]["failed"], results[0]["left_unchanged"]) == (True, True)
    assert results[0]["error"]["kind"] == "unreachable"
    assert world.picture() == before


def test_a_commit_whose_answer_is_lost_is_not_called_unchanged() -> None:
    def lost(_connection: Any, statement: Any, *_: Any) -> list[Any]:
        if statement == "COMMIT":
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return []

    gone = SimpleNamespace(closed=2)
    with (
        mock.patch.object(session.pg, "rows", lost),
        pytest.raises(OncallError) as caught,
        session.transaction(gone, read_only=False),
    ):
        pass
    assert (caught.value.kind, caught.value.changed) == ("commit_unknown", True)
