"""Roost's services in the stand-in do what the real ones do, as far as a runbook or its user can tell."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal import outside_services, stack
from runbook.rehearsal.parts import services as part
from runbook.rehearsal.processes import StandInError, alive, wait_until
from runbook.rehearsal.services import stripe_events
from runbook.rehearsal.services.fetch import Fetched, fetch
from runbook.rehearsal.shapes import ROOST
from runbook.rehearsal.symptoms import services as symptoms

SERVICES = frozenset({"database", "services"})


@pytest.fixture(scope="module")
def made() -> Iterator[stack.Stack]:
    """Services that are up; each test leaves them as they were."""
    with stack.running(stack.Options(scale=0.2, parts=SERVICES)) as up:
        yield up


@pytest.fixture
def facts(made: stack.Stack) -> dict[str, Any]:
    return made.facts


def _sql(made: stack.Stack, sql: str, *values: object) -> list[Any]:
    return made.server().execute(sql, values, database=ROOST.database)


def _post(url: str, body: Any, **headers: str) -> Fetched:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fetch(url, {k.replace("_", "-"): v for k, v in headers.items()}, method="POST", body=data)


def test_everything_is_well_and_a_stream_says_who_served_it(made: stack.Stack, facts: dict[str, Any]) -> None:
    for name in ("relay", "owl_api", "auth"):
        got = fetch(facts["services"][name]["url"] + "/health", {})
        assert json.loads(got.body) == {"status": "ok", "service": name}
    ready = json.loads(fetch(facts["services"]["tunnel"]["url"] + "/ready", {}).body)
    assert (ready["status"], ready["readyConnections"]) == (200, 4)
    assert outside_services.log_in_and_watch(made) == ""
    assert outside_services.served_by(made) == "cloudflare"


@pytest.mark.parametrize(
    ("change", "back", "says"),
    [
        ("UPDATE api_tokens SET revoked_at = now() WHERE subscriber_id = %s AND scopes = '{stream}'",
         "UPDATE api_tokens SET revoked_at = NULL WHERE subscriber_id = %s", "401"),
        ("UPDATE subscribers SET force_password_reset = true WHERE id = %s",
         "UPDATE subscribers SET force_password_reset = false WHERE id = %s", "403"),
        ("UPDATE subscribers SET status = 'suspended' WHERE id = %s",
         "UPDATE subscribers SET status = 'active' WHERE id = %s", "403"),
    ],
    ids=["revoked", "to set a new password", "suspended"],
)  # fmt: skip
def test_who_is_revoked_or_barred_sees_nothing(
    made: stack.Stack, facts: dict[str, Any], change: str, back: str, says: str
) -> None:
    _sql(made, change, facts["canary"]["subscriber"])
    try:
        assert says in outside_services.watch(made)
        assert ("token" in outside_services.watch(made)) == (says == "401")
        assert (outside_services.log_in(made)[1] == "") == (says == "401")
    finally:
        _sql(made, back, facts["canary"]["subscriber"])
    assert outside_services.watch(made) == ""


def test_only_the_right_password_logs_in_and_a_refresh_token_works_once(facts: dict[str, Any]) -> None:
    auth, canary = facts["services"]["auth"]["url"], facts["canary"]
    for wrong in ({"email": canary["email"], "password": "x"}, {"email": "nobody@x"}, {"email": None}):
        assert _post(f"{auth}/login", wrong).status == 401
    pair = json.loads(_post(f"{auth}/login", {k: canary[k] for k in ("email", "password")}).body)
    used = {"refresh_token": pair["refresh_token"]}
    assert [_post(f"{auth}/refresh", used).status for _ in range(2)] == [200, 401]
    assert _post(f"{auth}/refresh", {"refresh_token": "' OR 1=1"}).status == 401


def test_settings_are_read_at_the_start_and_only_then(made: stack.Stack, facts: dict[str, Any]) -> None:
    part.write_settings(facts, {"AUTH_JWT_EXPIRY": "77"})
    try:
        assert outside_services.lifetime(made) == 3600
        assert part.environment_of(facts, "auth")["AUTH_JWT_EXPIRY"] == "3600"
        part.restart(facts, "auth")
        assert outside_services.lifetime(made) == 77
        assert part.environment_of(facts, "auth")["AUTH_JWT_EXPIRY"] == "77"
    finally:
        symptoms.change_settings("auth", AUTH_JWT_EXPIRY="3600")(made)


def test_a_service_with_another_secret_refuses_what_auth_signed(made: stack.Stack) -> None:
    before = outside_services.picture(made)
    symptoms.another_secret("owl_api")(made)
    assert "401" in outside_services.watch(made)
    changed = outside_services.picture(made)
    assert [name for name in before if before[name] != changed[name]] == ["owl_api runs with AUTH_JWT_SECRET"]
    symptoms.start("owl_api")(made)
    assert outside_services.picture(made) == before


def test_no_secret_is_logged_or_shown(made: stack.Stack, facts: dict[str, Any]) -> None:
    outside_services.log_in_and_watch(made)
    mode = Path(facts["env_file"]).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    seen = "".join(Path(one["log"]).read_text() for one in facts["services"].values())
    for name in facts["services"]:
        seen += Path(f"/proc/{part.pid_of(facts, name)}/cmdline").read_text()
    assert "canary" not in seen.replace("canary@", "")


def test_without_a_connection_nobody_gets_in_until_the_tunnel_is_started_again(
    made: stack.Stack, facts: dict[str, Any]
) -> None:
    symptoms.tell("tunnel", connections=0)(made)
    ready = fetch(facts["services"]["tunnel"]["url"] + "/ready", {})
    assert (ready.status, json.loads(ready.body)["readyConnections"]) == (503, 0)
    assert "refused" in outside_services.watch(made)
    part.restart(facts, "tunnel")
    assert outside_services.watch(made) == ""


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_relay_that_is_gone_or_frozen_is_started_again(made: stack.Stack, how: str) -> None:
    import signal

    pid = part.pid_of(made.facts, "relay")
    (symptoms.kill("relay") if how == "killed" else symptoms.send("relay", signal.SIGSTOP))(made)
    assert ("502" if how == "killed" else "504") in outside_services.watch(made)
    part.restart(made.facts, "relay")
    assert outside_services.watch(made) == ""
    assert part.pid_of(made.facts, "relay") != pid


def test_the_cdn_is_switched_by_the_administrator_alone_and_never_to_a_sick_origin(
    made: stack.Stack, facts: dict[str, Any]
) -> None:
    owl = facts["services"]["owl_api"]["url"]
    admin = {"Authorization": f"Bearer {facts['admin_token']}"}

    def switch(target: str, **headers: str) -> int:
        return _post(f"{owl}/admin/cdn/failover", {"target": target}, **(headers or admin)).status

    assert switch("bunny", Authorization="Bearer wrong") == 401
    assert switch("gopher") == 422
    symptoms.tell("bunny", status=503)(made)
    health = json.loads(fetch(f"{owl}/admin/cdn/health", admin).body)
    assert health == {
        "active": "cloudflare",
        "origins": [{"name": "cloudflare", "healthy": True}, {"name": "bunny", "healthy": False}],
    }
    assert switch("bunny") == 409
    symptoms.tell("bunny")(made)
    assert switch("bunny") == 200
    part.restart(facts, "owl_api")
    assert outside_services.served_by(made) == "bunny"
    assert switch("cloudflare") == 200


@pytest.fixture
def deliver(facts: dict[str, Any]) -> Callable[..., Fetched]:
    """Send an event to the webhook as Stripe does, or with another `secret`."""

    def send(event: dict[str, Any], secret: str = "") -> Fetched:
        body = json.dumps(event).encode()
        signature = stripe_events.signature(body, secret or facts["stripe_webhook_secret"])
        return _post(f"{facts['public_url']}/webhooks/stripe", body, Stripe_Signature=signature)

    return send


def _paid(name: str, **checkout: Any) -> dict[str, Any]:
    session = {"id": "cs_1", "payment_status": "paid", **checkout}
    return {"id": f"evt_{name}", "type": "checkout.session.completed", "data": {"object": session}}


def test_a_payment_activates_once_and_gives_back_only_what_non_payment_took(
    made: stack.Stack, deliver: Callable[..., Fetched]
) -> None:
    who = _sql(made, "INSERT INTO subscribers (email, display_name, status) "
                     "VALUES ('late@example.org', 'Late', 'past_due') RETURNING id")[0][0]  # fmt: skip
    _sql(made, "INSERT INTO subscriptions (subscriber_id, plan, status, price, period) "
               "VALUES (%s, 'hatchling', 'past_due', 500, tstzrange(now(), NULL))", who)  # fmt: skip
    for reason in ("non_payment", "breach"):
        _sql(made, "INSERT INTO api_tokens (subscriber_id, token_hash, scopes, revoked_at, revoked_reason) "
                   "VALUES (%s, sha256(%s::bytea), '{}', now(), %s)", who, reason, reason)  # fmt: skip
    event = _paid("late", customer="cus_late", customer_details={"email": "LATE@example.org"})
    assert deliver(event, "whsec_wrong").status == 400
    said = [json.loads(deliver(event).body)["result"] for _ in range(2)]
    assert said == ["activated", "duplicate"]
    state = (
        "SELECT s.status, p.status, s.stripe_customer_id FROM subscribers s "
        "JOIN subscriptions p ON p.subscriber_id = s.id WHERE s.id = %s"
    )
    assert _sql(made, state, who) == [("active", "active", "cus_late")]
    tokens = "SELECT token_hash = sha256('breach'), revoked_reason FROM api_tokens WHERE subscriber_id = %s"
    assert sorted(_sql(made, tokens, who), key=str) == [(False, None), (True, "breach")]


def test_an_event_that_cannot_be_acted_on_may_come_again(
    made: stack.Stack, deliver: Callable[..., Fetched]
) -> None:
    event = _paid("unknown", customer="cus_nobody")
    assert [deliver(event).status for _ in range(2)] == [500, 500]
    assert json.loads(deliver(_paid("free", payment_status="unpaid")).body)["result"] == "not paid"
    seen = "SELECT event_id FROM billing.webhook_events WHERE event_id IN ('evt_unknown', 'evt_free')"
    assert _sql(made, seen) == [("evt_free",)]


def test_an_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(StandInError, match="no part is called gremlins; there are: database, backups"):
        stack.Options(parts=frozenset({"gremlins"}))


def test_the_services_end_with_a_supervisor_that_was_killed() -> None:
    with stack.running(stack.Options(scale=0.2, parts=SERVICES)) as up:
        pids = [part.pid_of(up.facts, name) for name in up.facts["services"]]
        os.kill(int((up.folder / "run" / "supervisord.pid").read_text()), 9)
        wait_until(lambda: not any(map(alive, pids)), timeout=10, what="the end of the services")


def test_down_leaves_no_service(tmp_path: Path) -> None:
    up = stack.up(stack.Options(scale=0.2, parts=SERVICES), tmp_path / "stack.json")
    pids = [part.pid_of(up.facts, name) for name in up.facts["services"]]
    supervisor = int((up.folder / "run" / "supervisord.pid").read_text())
    os.kill(up.facts["keeper_pid"], 9)
    stack.down(up)
    assert not [pid for pid in (*pids, supervisor) if alive(pid)]
