"""A stand-in of Stripe: the part that billing needs, as strict as the real one, delivering real webhooks.

State is kept in `state.json` (see vendors.base). `account.json` in its folder, when it is there at the first
start, gives the account's `api_key`, `webhook_secret` and `endpoint_url`. What customers do happens over
`/_stand_in/…`, which is no part of Stripe's API: `checkout` and `cancel` make the objects and events that a
purchase or a cancellation makes.

`POST /v1/events/ID/retry` is what Stripe's command line program sends to deliver an event again. Stripe's
public document does not have it.
"""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from runbook.rehearsal.vendors.base import Answer, Refusal, Request, Route, serve
from runbook.rehearsal.vendors.stripe_world import EVENT_DAYS, World

_TESTS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
_PAGING = frozenset({"limit", "starting_after", "ending_before"})


def _refused(message: str, *, param: str = "", code: str = "", status: int = 400, kind: str = "") -> Refusal:
    error = {"message": message, "type": kind or "invalid_request_error"}
    error.update({name: value for name, value in (("param", param), ("code", code)) if value})
    return Refusal(status, {"error": error})


class Stripe(World):
    """One account in test or live mode, as its key says."""

    # What Stripe refuses

    def authorize(self, request: Request) -> None:
        """Take the account's key as bearer only; the stand-in's own routes need none."""
        if request.path.startswith("/_stand_in/"):
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            raise _refused("You did not provide an API key.", status=401)
        if given != self.state["api_key"]:
            raise _refused(f"Invalid API Key provided: {given[:7]}****{given[-4:]}", status=401)
        version = request.headers.get("stripe-version", "2023-08-16")
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?", version):
            raise _refused(f"Invalid Stripe API version: {version}")

    def unknown_route(self, request: Request) -> Answer:
        """Answer as Stripe does to a path that it does not have."""
        told = f"Unrecognized request URL ({request.method}: {request.path})."
        return _refused(told, status=404).answer

    def failure(self, status: int) -> Any:
        """Return the body of an injected error."""
        if status == 429:
            return {
                "error": {
                    "type": "invalid_request_error",
                    "code": "rate_limit",
                    "message": "Too many requests",
                }
            }
        return {"error": {"type": "api_error", "message": "Sorry, something went wrong at our end."}}

    def _known(self, given: Mapping[str, str], allowed: frozenset[str]) -> None:
        for name in given:
            plain = re.sub(r"\[\d*\]$", "[]", name)
            if plain not in allowed:
                raise _refused(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")

    def _one(self, kind: str, known_as: str, noun: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self.state[kind].get(known_as)
        if found is None or (kind == "events" and found["created"] < time.time() - EVENT_DAYS * 86400):
            raise _refused(f"No such {noun}: '{known_as}'", param="id", code="resource_missing", status=404)
        return found

    def _form(self, request: Request, allowed: frozenset[str]) -> dict[str, str]:
        kind = request.headers.get("content-type", "")
        if request.body and not kind.startswith("application/x-www-form-urlencoded"):
            raise _refused(
                f"Invalid request (a POST has to be application/x-www-form-urlencoded), not {kind}"
            )
        form = dict(request.form())
        self._known(form, allowed)
        return form

    # Reading

    def _page(self, request: Request, found: list[dict[str, Any]], url: str) -> Answer:
        found = sorted(found, key=lambda item: (item["created"], item["id"]), reverse=True)
        limit = request.query.get("limit", "10")
        if not limit.isdigit() or not 1 <= int(limit) <= 100:
            raise _refused(f"Invalid integer: {limit} (1 to 100)", param="limit")
        after = request.query.get("starting_after")
        if after:
            ids = [item["id"] for item in found]
            if after not in ids:
                raise _refused(f"No such object: '{after}'", param="starting_after", code="resource_missing")
            found = found[ids.index(after) + 1 :]
        page = found[: int(limit)]
        return Answer(200, {"object": "list", "url": url, "has_more": len(found) > len(page), "data": page})

    def _expanded(
        self, sessions: list[dict[str, Any]], asked: str | None, expected: str
    ) -> list[dict[str, Any]]:
        if asked not in (None, expected):
            raise _refused(f"This property cannot be expanded ({asked}).", param="expand")
        if asked is None:
            return sessions
        bought = self.state["subscriptions"]
        return [{**session, "subscription": bought.get(session["subscription"])} for session in sessions]

    def endpoints(self, request: Request) -> Answer:
        """GET /v1/webhook_endpoints: the secret is shown at the creation only."""
        self._known(request.query, _PAGING)
        return self._page(request, [_shown(e) for e in self.state["endpoints"].values()], request.path)

    def endpoint(self, request: Request) -> Answer:
        """GET /v1/webhook_endpoints/ID."""
        return Answer(200, _shown(self._one("endpoints", request.params["id"], "webhook endpoint")))

    def events(self, request: Request) -> Answer:
        """GET /v1/events: the last 30 days, by type, time and whether every delivery has succeeded."""
        bounds = {f"created[{word}]": test for word, test in _TESTS.items()}
        self._known(request.query, _PAGING | bounds.keys() | {"type", "types[]", "delivery_success"})
        types = {value for name, value in request.query.items() if re.fullmatch(r"type|types\[\d*\]", name)}
        found = [e for e in self.state["events"].values() if e["created"] >= time.time() - EVENT_DAYS * 86400]
        if types:
            found = [e for e in found if e["type"] in types]
        for name in bounds.keys() & request.query.keys():
            moment = _integer(name, request.query[name])
            found = [e for e in found if bounds[name](e["created"], moment)]
        success = request.query.get("delivery_success")
        if success is not None:
            wanted = _boolean("delivery_success", success)
            found = [e for e in found if (e["pending_webhooks"] == 0) == wanted]
        return self._page(request, found, request.path)

    def event(self, request: Request) -> Answer:
        """GET /v1/events/ID."""
        return Answer(200, self._one("events", request.params["id"], "event"))

    def sessions(self, request: Request) -> Answer:
        """GET /v1/checkout/sessions."""
        self._known(
            request.query, _PAGING | {"customer", "subscription", "expand[]", "customer_details[email]"}
        )
        found = list(self.state["sessions"].values())
        for name in ("customer", "subscription"):
            if name in request.query:
                found = [s for s in found if s[name] == request.query[name]]
        if email := request.query.get("customer_details[email]"):
            found = [s for s in found if s["customer_details"]["email"] == email]
        found = self._expanded(found, request.query.get("expand[]"), "data.subscription")
        return self._page(request, found, request.path)

    def session(self, request: Request) -> Answer:
        """GET /v1/checkout/sessions/ID."""
        self._known(request.query, frozenset({"expand[]"}))
        found = self._one("sessions", request.params["id"], "checkout.session")
        return Answer(200, self._expanded([found], request.query.get("expand[]"), "subscription")[0])

    def customers(self, request: Request) -> Answer:
        """GET /v1/customers: an address has to be the very same, letter case included."""
        self._known(request.query, _PAGING | {"email"})
        email = request.query.get("email")
        found = [c for c in self.state["customers"].values() if email in (None, c["email"])]
        return self._page(request, found, request.path)

    def subscription(self, request: Request) -> Answer:
        """GET /v1/subscriptions/ID."""
        return Answer(200, self._one("subscriptions", request.params["id"], "subscription"))

    # Changing

    def _once(self, request: Request, act: Callable[[], dict[str, Any]]) -> Answer:
        """Do a POST, or answer again what a request with the same Idempotency-Key got."""
        key = request.headers.get("idempotency-key")
        if key is None:
            return Answer(200, act())
        if not 0 < len(key) <= 255:
            raise _refused("Idempotency-Key has to have 1 to 255 characters")
        asked = [request.path, request.body.decode()]
        before = self.state["replies"].get(key)
        if before is None:
            self.state["replies"][key] = {"asked": asked, "answer": act()}
            return Answer(200, self.state["replies"][key]["answer"])
        if before["asked"] != asked:
            told = (
                "Keys for idempotent requests can only be used with the parameters they were first used with."
            )
            raise _refused(told, kind="idempotency_error")
        return Answer(200, before["answer"], {"Idempotent-Replayed": "true"})

    def update_endpoint(self, request: Request) -> Answer:
        """POST /v1/webhook_endpoints/ID with `disabled`."""
        form = self._form(request, frozenset({"disabled", "description", "url"}))
        found = self._one("endpoints", request.params["id"], "webhook endpoint")

        def act() -> dict[str, Any]:
            if "disabled" in form:
                found["status"] = "disabled" if _boolean("disabled", form["disabled"]) else "enabled"
            found.update({name: form[name] for name in ("description", "url") if name in form})
            return _shown(found)

        return self._once(request, act)

    def retry(self, request: Request) -> Answer:
        """POST /v1/events/ID/retry with `webhook_endpoint`: each delivers again."""
        form = self._form(request, frozenset({"webhook_endpoint", "account", "for_stripecli"}))
        event = self._one("events", request.params["id"], "event")
        if "webhook_endpoint" not in form:
            raise _refused("Missing required param: webhook_endpoint.", param="webhook_endpoint")
        target = self._one("endpoints", form["webhook_endpoint"], "webhook endpoint")
        if target["status"] != "enabled":
            raise _refused("The webhook endpoint is disabled.", param="webhook_endpoint")

        def act() -> dict[str, Any]:
            self.deliver(event, target)
            return dict(event)

        return self._once(request, act)

    def act(self, request: Request) -> Answer:
        """POST /_stand_in/checkout or /_stand_in/cancel, the arguments as JSON."""
        does: Callable[..., Any] = self.checkout if request.params["what"] == "checkout" else self.cancel
        with self.lock:
            return Answer(200, does(**request.json()))

    routes: ClassVar[list[Route]] = [
        ("POST", r"/_stand_in/(?P<what>checkout|cancel)", act),
        ("GET", r"/v1/webhook_endpoints", endpoints),
        ("GET", r"/v1/webhook_endpoints/(?P<id>[^/]+)", endpoint),
        ("POST", r"/v1/webhook_endpoints/(?P<id>[^/]+)", update_endpoint),
        ("GET", r"/v1/events", events),
        ("GET", r"/v1/events/(?P<id>[^/]+)", event),
        ("POST", r"/v1/events/(?P<id>[^/]+)/retry", retry),
        ("GET", r"/v1/checkout/sessions", sessions),
        ("GET", r"/v1/checkout/sessions/(?P<id>[^/]+)", session),
        ("GET", r"/v1/customers", customers),
        ("GET", r"/v1/subscriptions/(?P<id>[^/]+)", subscription),
    ]


def _shown(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in endpoint.items() if name != "secret"}


def _boolean(name: str, given: str) -> bool:
    if given not in ("true", "false"):
        raise _refused(f"Invalid boolean: {given}", param=name)
    return given == "true"


def _integer(name: str, given: str) -> int:
    if not given.lstrip("-").isdigit():
        raise _refused(f"Invalid integer: {given}", param=name)
    return int(given)


if __name__ == "__main__":
    serve(Stripe)
