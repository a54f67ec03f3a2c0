"""The stand-in of Stripe refuses what Stripe refuses, and delivers what Stripe delivers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from billing_world import stripe_account

from runbook.rehearsal.services import stripe_events
from runbook.rehearsal.services.web import Refused
from runbook.rehearsal.vendors.base import VendorServer
from runbook.rehearsal.vendors.stripe import Stripe
from runbook.rehearsal.vendors.stripe_world import signature


@pytest.fixture
def account(tmp_path: Path) -> Iterator[VendorServer]:
    """An account with an endpoint that nobody listens at."""
    with stripe_account(tmp_path / "stripe", "whsec_canary", "http://127.0.0.1:9/hook") as server:
        yield server


def ask(server: VendorServer, path: str, form: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Send a request with the account's key; return status, body and headers."""
    key = headers.pop("key", server.vendor.state["api_key"])
    body = urlencode(form).encode() if isinstance(form, dict) else form
    sent = urllib.request.Request(
        server.base_url + path, body, {"Authorization": f"Bearer {key}"} if key else {}
    )
    for name, value in headers.items():
        sent.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(sent, timeout=5) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


@pytest.mark.parametrize(
    ("path", "form", "headers", "status", "said"),
    [
        ("/v1/events", None, {"key": ""}, 401, "You did not provide an API key"),
        ("/v1/events", None, {"key": "sk_test_wrong0000"}, 401, "Invalid API Key provided: sk_test****0000"),
        ("/v1/events?colour=red", None, {}, 400, "unknown parameter: colour"),
        ("/v1/events?limit=101", None, {}, 400, "Invalid integer: 101"),
        ("/v1/events?created[gte]=yesterday", None, {}, 400, "Invalid integer: yesterday"),
        ("/v1/events?delivery_success=no", None, {}, 400, "Invalid boolean: no"),
        ("/v1/events?starting_after=evt_gone", None, {}, 400, "evt_gone"),
        ("/v1/events/evt_gone", None, {}, 404, "No such event: 'evt_gone'"),
        ("/v1/checkout/sessions?expand[]=data.owl", None, {}, 400, "cannot be expanded"),
        ("/v1/webhook_endpoints/we_gone", {"disabled": "false"}, {}, 404, "No such webhook endpoint"),
        ("/v1/webhook_endpoints/{we}", {"disabled": "0"}, {}, 400, "Invalid boolean: 0"),
        ("/v1/webhook_endpoints/{we}", {"enabled": "true"}, {}, 400, "unknown parameter: enabled"),
        (
            "/v1/webhook_endpoints/{we}",
            b"{}",
            {"Content_Type": "application/json"},
            400,
            "x-www-form-urlencoded",
        ),
        ("/v1/webhook_endpoints/{we}", {"disabled": "true"}, {"Idempotency_Key": "x" * 256}, 400, "1 to 255"),
        ("/v1/owls", None, {}, 404, "Unrecognized request URL"),
        ("/v1/events", None, {"Stripe_Version": "newest"}, 400, "Invalid Stripe API version"),
    ],
)
def test_what_stripe_refuses_is_refused(
    account: VendorServer, path: str, form: Any, headers: dict[str, str], *, status: int, said: str
) -> None:
    known = next(iter(account.vendor.state["endpoints"]))
    got, body, _ = ask(account, path.replace("{we}", known), form, **headers)
    assert (got, said in body["error"]["message"]) == (status, True), body
    assert account.vendor.state["endpoints"][known]["status"] == "enabled"


def test_a_key_for_idempotency_answers_again_and_does_nothing_twice(account: VendorServer) -> None:
    known = next(iter(account.vendor.state["endpoints"]))
    path = f"/v1/webhook_endpoints/{known}"
    ask(account, path, {"disabled": "true"}, Idempotency_Key="one")
    account.vendor.state["endpoints"][known]["status"] = "enabled"
    status, body, headers = ask(account, path, {"disabled": "true"}, Idempotency_Key="one")
    assert (status, body["status"], headers["Idempotent-Replayed"]) == (200, "disabled", "true")
    assert account.vendor.state["endpoints"][known]["status"] == "enabled"
    status, body, _ = ask(account, path, {"disabled": "false"}, Idempotency_Key="one")
    assert (status, body["error"]["type"]) == (400, "idempotency_error")


def test_the_secret_of_an_endpoint_is_never_listed(account: VendorServer) -> None:
    assert "whsec_canary" not in json.dumps(ask(account, "/v1/webhook_endpoints")[1])


def test_an_event_that_was_not_delivered_is_pending_and_old_ones_are_gone(account: VendorServer) -> None:
    vendor = account.vendor
    assert isinstance(vendor, Stripe)
    made = vendor.checkout("owl@example.org", deliver=False)
    vendor.checkout("owl@example.org", deliver=False, age=31 * 86400)
    listed = ask(account, "/v1/events?delivery_success=false")[1]["data"]
    assert [(e["id"], e["pending_webhooks"]) for e in listed] == [(made["event"], 1)]
    assert ask(account, "/v1/events?delivery_success=true")[1]["data"] == []
    assert len(ask(account, "/v1/checkout/sessions")[1]["data"]) == 2


def test_pages_follow_each_other_without_a_gap(account: VendorServer) -> None:
    vendor = account.vendor
    assert isinstance(vendor, Stripe)
    ids = [vendor.checkout(f"{n}@example.org", deliver=False, age=n)["event"] for n in range(5)]
    first = ask(account, "/v1/events?limit=3")[1]
    rest = ask(account, f"/v1/events?limit=3&starting_after={first['data'][-1]['id']}")[1]
    assert [e["id"] for e in first["data"] + rest["data"]] == ids
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_a_delivery_is_signed_as_the_handler_checks_it() -> None:
    body = json.dumps({"id": "evt_1", "type": "x", "data": {"object": {}}})
    header = signature("whsec_canary", body, 1000)
    assert stripe_events.verified(body.encode(), header, "whsec_canary", now=1001)["id"] == "evt_1"
    for secret, now in (("whsec_other", 1001), ("whsec_canary", 5000)):
        with pytest.raises(Refused):
            stripe_events.verified(body.encode(), header, secret, now=now)
