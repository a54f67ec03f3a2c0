"""A small world to miss webhooks in: Stripe's stand-in, the handler, the real tables."""

from __future__ import annotations

import argparse
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.oncall.runbooks.plugins.action import (
    billing_activate,
    billing_reconcile,
    webhook_endpoint,
    webhook_resend,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.modules import billing_activate as activate_module
from ansible_collections.oncall.runbooks.plugins.modules import billing_reconcile as reconcile_module

from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.services import stripe_events, web
from runbook.rehearsal.services.postgres_client import Database
from runbook.rehearsal.vendors.base import VendorServer
from runbook.rehearsal.vendors.stripe import Stripe

ACTIONS = {
    "billing_reconcile": billing_reconcile,
    "billing_activate": billing_activate,
    "webhook_endpoint": webhook_endpoint,
    "webhook_resend": webhook_resend,
}
SERVED = {"active": ["active"]}
TABLES: dict[str, Any] = {
    "subscribers": {
        "table": "public.subscribers",
        "customer": "stripe_customer_id",
        "served": SERVED,
        "activate_from": ["pending", "trial", "past_due"],
    },
    "subscriptions": {
        "table": "public.subscriptions",
        "subscription": "stripe_subscription_id",
        "served": {"active": ["active"], "trialing": ["trialing", "active"]},
        "activate_from": ["incomplete", "past_due", "unpaid"],
        "period": "period",
    },
    "events": {"table": "billing.webhook_events", "event": "event_id"},
}
CHANGING: dict[str, Any] = {
    "tokens": [{"table": "public.api_tokens", "reason": "revoked_reason", "unpaid": ["non_payment"]}],
    "audit": {
        "table": "public.audit_log",
        "values": {"actor_type": "operator", "action": "billing.activate", "resource_type": "subscription"},
        "detail": "detail",
    },
}


class Handler(web.Service):
    """What owl_api does with an event, alone; `fault` makes it answer as the fault says ({} ends it)."""

    name = "handler"

    def __init__(self, url: str, secret: str) -> None:
        super().__init__(argparse.Namespace(name="", run_dir=None))
        self._database, self._secret = Database(url, "handler"), secret
        self.routes.append(("POST", "/webhooks/stripe", self.stripe))

    def stripe(self, request: web.Request) -> web.Answer:
        """Take an event."""
        event = stripe_events.verified(
            request.body, request.headers.get("Stripe-Signature", ""), self._secret
        )
        return web.Answer(200, {"result": stripe_events.take(event, self._database)})

    def log(self, level: str, message: str) -> None:
        """Nobody reads it."""


@dataclass
class World:
    """Everything a test needs."""

    server: PostgresServer
    database: str
    stripe: VendorServer
    handler: Handler
    login: dict[str, Any] = field(default_factory=dict)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def account(self) -> Stripe:
        """The account at Stripe, to do things as customers do."""
        vendor = self.stripe.vendor
        assert isinstance(vendor, Stripe)
        return vendor

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement in the application's database."""
        return self.server.execute(statement, values or None, database=self.database)

    def subscriber(
        self, email: str = "", *, status: str = "pending", row: str | None = "incomplete", **more: Any
    ) -> str:
        """Add a subscriber with one subscription (row: its status, None for none) and return the id.

        more: customer, subscription (ids at Stripe), tokens (reason per revoked token, None for a valid one).
        """
        email = email or f"owl.{uuid.uuid4().hex[:8]}@example.org"
        made = self.sql(
            "INSERT INTO public.subscribers (email, display_name, status, stripe_customer_id)"
            " VALUES (%s, 'Owl', %s, %s) RETURNING id::text",
            email, status, more.get("customer"),
        )[0][0]  # fmt: skip
        if row is not None:
            self.subscription(made, row, more.get("subscription"))
        for reason in more.get("tokens", ()):
            self.sql(
                "INSERT INTO public.api_tokens"
                " (subscriber_id, token_hash, scopes, revoked_at, revoked_reason)"
                " VALUES (%s, %s, '{}', CASE WHEN %s::text IS NULL THEN NULL ELSE now() END, %s)",
                made, os.urandom(8), reason, reason,
            )  # fmt: skip
        return str(made)

    def subscription(self, subscriber: str, status: str, at_stripe: str | None = None) -> None:
        """Add a subscription."""
        self.sql(
            "INSERT INTO public.subscriptions"
            " (subscriber_id, plan, status, stripe_subscription_id, price, period)"
            " VALUES (%s, 'hatchling', %s, %s, 500, tstzrange(now(), NULL))",
            subscriber, status, at_stripe,
        )  # fmt: skip

    def pay(self, email: str, *, lost: bool = True, **about: Any) -> dict[str, Any]:
        """Let somebody pay; `lost`: the handler is down, so the event stays pending."""
        if lost:
            self.handler.fault = {"status": 500}
        made = self.account.checkout(email, **about)
        self.until(lambda: any(d["event"] == made["event"] for d in self.account.state["deliveries"]))
        self.handler.fault = {}
        return made

    def missed(self, **more: Any) -> SimpleNamespace:
        """Add somebody who paid and was missed; returns id, email, customer, subscription, event, session."""
        word = uuid.uuid4().hex[:10]
        about = {
            "email": f"Owl.{word}@Example.org",
            "customer": f"cus_{word}",
            "subscription": f"sub_{word}",
        } | more
        row = {key: about[key] for key in about if key not in ("lost", "pay")}
        known = self.subscriber(**row)
        paid = self.pay(about["email"], customer=about["customer"], subscription=about["subscription"],
                        lost=about.get("lost", True), **about.get("pay", {}))  # fmt: skip
        return SimpleNamespace(id=known, event=paid["event"], session=paid["session"]["id"], **about)

    def status(self, subscriber: str) -> tuple[Any, ...]:
        """Return status of the subscriber, of the subscriptions, and the revoked reasons of the tokens."""
        people = self.sql("SELECT status::text FROM public.subscribers WHERE id = %s", subscriber)
        rows, tokens = (
            [row[0] for row in self.sql(f"SELECT {what} WHERE subscriber_id = %s ORDER BY id", subscriber)]
            for what in ("status FROM public.subscriptions", "revoked_reason FROM public.api_tokens")
        )
        return people[0][0], rows, tokens

    def finding(self, result: Mapping[str, Any], check: str = "billing_missed") -> Any:
        """Return one finding of a result as an object."""
        (found,) = [f for f in result["findings"] if f["check"] == check]
        return SimpleNamespace(**found)

    def retries(self) -> list[str]:
        """Return the paths of the calls that have an event sent again."""
        asked = [r["path"] for r in self.stripe.requests() if r["method"] == "POST"]
        return [path for path in asked if path.endswith("/retry")]

    def picture(self) -> list[Any]:
        """Return every row that an activation may touch, but for the trigger's time."""
        found = self.sql("SELECT id, status::text, stripe_customer_id FROM public.subscribers ORDER BY id")
        found += self.sql(
            "SELECT id, status, stripe_subscription_id, period::text FROM public.subscriptions ORDER BY id"
        )
        return found + self.sql("SELECT id, revoked_at, revoked_reason FROM public.api_tokens ORDER BY id")

    @staticmethod
    def until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait for what happens in the background."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)

    def act(self, name: str, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run an action plugin as a task would; its modules run in this process, their arguments are kept."""
        stripe = {
            "api_url": self.stripe.base_url,
            "api_key": self.account.state["api_key"],
            "mode": "test",
            "endpoint": next(iter(self.account.state["endpoints"]), ""),
            "api_timeout": 2,
        }
        options: dict[str, Any] = {**stripe}
        if name != "webhook_endpoint":
            options |= {**self.login, "database": self.database, "grace": 0, **TABLES}
        if name == "billing_activate":
            options |= CHANGING
        if name == "webhook_resend":
            options["timeout"] = 2
        options = {key: value for key, value in {**options, **arguments}.items() if value is not None}
        task = SimpleNamespace(args=options, async_val=0, check_mode=check, action=name)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
        action = ACTIONS[name].ActionModule(task, connection, None, None, None, None)
        action._execute_module = lambda **call: self._module(check=check, **call)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "db1"})
        return result

    def _module(
        self, *, check: bool, module_name: str, module_args: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        self.sent.append((module_name, module_args))
        module: Any = activate_module if module_name.endswith("billing_activate") else reconcile_module
        caught: dict[str, Any] = {}

        def run_module(spec: dict[str, Any], run: Any) -> None:
            validation = ArgumentSpecValidator(spec).validate(module_args)
            assert not validation.error_messages, validation.error_messages
            try:
                caught.update(run(validation.validated_parameters, check_mode=check))
            except OncallError as error:
                caught.update(failed=True, msg=error.message, error=error.as_dict(), changed=error.changed)

        with mock.patch.object(module, "run_module", run_module):
            module.main()
        return caught


@contextmanager
def handling(server: PostgresServer, database: str, secret: str) -> Iterator[tuple[Handler, str]]:
    """The application's handler of webhooks, and its URL."""
    url = f"postgresql://{server.superuser}:{server.password}@127.0.0.1:{server.port}/{database}"
    handler = Handler(url, secret)
    listening = web.listen("127.0.0.1", 0, handler.answer, lambda *_: None)
    web.in_background(listening)
    try:
        yield handler, f"http://127.0.0.1:{listening.socket.getsockname()[1]}/webhooks/stripe"
    finally:
        listening.shutdown()
        listening.server_close()


@contextmanager
def stripe_account(folder: Path, secret: str, url: str) -> Iterator[VendorServer]:
    """An account at Stripe whose webhooks go to `url`."""
    folder.mkdir(exist_ok=True)
    (folder / "account.json").write_text(f'{{"webhook_secret": "{secret}", "endpoint_url": "{url}"}}')
    with VendorServer(Stripe(folder)) as server:
        yield server
