# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of Stripe's API that billing needs; used on the controller, so that the key never leaves it."""

from __future__ import annotations

__metaclass__ = type

import hashlib
from email.utils import parsedate_to_datetime
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.http_api import ApiClient, ApiError, Reply

#: Stripe keeps events so long; what is older can be judged by its session, but not resent.
EVENT_DAYS = 30
COMPLETED = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
ENDED = "customer.subscription.deleted"
_PAGE, _MAX_PAGES = 100, 100
_KEYS = ("sk_live_", "rk_live_", "sk_test_", "rk_test_")


class Stripe:
    """One Stripe account, as the key sees it.

    api_url: without a trailing slash; api_key: secret or restricted key; timeout: seconds per attempt.
    """

    def __init__(self, api_url: str, api_key: str, api_version: str, timeout: float = 10.0) -> None:
        if not api_key.startswith(_KEYS):
            raise UsageError(
                "use the key of Stripe",
                got="api_key is %s" % ("no secret or restricted key" if api_key else "empty"),
                next_step="set api_key to a key that begins with sk_ or rk_ (it reads Checkout Sessions,"
                " Customers, Events, Subscriptions and writes Webhook Endpoints and Events)",
            )
        self.live = "_live_" in api_key
        headers = {"Authorization": "Bearer " + api_key, "Stripe-Version": api_version}
        self._client = ApiClient(
            api_url, name="Stripe", headers=headers, credential="api_key", timeout=timeout
        )
        self.clock: Optional[float] = None  # Stripe's own time at its last answer, in seconds of the epoch

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Stripe":
        """Return the account that the options of the doc fragment `stripe` describe."""
        return cls(options["api_url"], options["api_key"], options["api_version"], options["api_timeout"])

    def endpoints(self) -> List[Dict[str, Any]]:
        """Return every webhook endpoint of the account."""
        return list(self._pages("/v1/webhook_endpoints", {}))

    def find_endpoint(self, wanted: str) -> Dict[str, Any]:
        """Return the endpoint with this id or URL; raises an OncallError of kind `no_endpoint`."""
        known = self.endpoints()
        found = [e for e in known if wanted in (e["id"], e["url"])]
        if len(found) == 1:
            return found[0]
        there = ", ".join("%s (%s)" % (e["url"], e["id"]) for e in known) or "none"
        raise OncallError(
            "find the webhook endpoint at Stripe",
            on=wanted or "no endpoint given",
            got="%d endpoints match; there are: %s" % (len(found), there),
            next_step="set endpoint to one of these ids, or use the key of the right account and mode (%s)"
            % self.mode,
            kind="no_endpoint",
        )

    @property
    def mode(self) -> str:
        """Which data the key sees: `live` or `test`."""
        return "live" if self.live else "test"

    def set_endpoint(self, endpoint: str, *, disabled: bool) -> Dict[str, Any]:
        """Enable or disable an endpoint and return it; setting it twice is the same as once."""
        form = {"disabled": "true" if disabled else "false"}
        reply = self._request("POST", "/v1/webhook_endpoints/%s" % _id(endpoint), form=form, repeatable=True)
        found: Dict[str, Any] = reply.data
        return found

    def event(self, event: str) -> Dict[str, Any]:
        """Return one event; one older than 30 days is gone."""
        found: Dict[str, Any] = self._request("GET", "/v1/events/%s" % _id(event)).data
        return found

    def events(
        self, types: Sequence[str], since: float, *, undelivered: bool = False
    ) -> Iterator[Dict[str, Any]]:
        """Yield events of these types since a moment (seconds of the epoch), the newest first."""
        query: Dict[str, Any] = {"types[%d]" % n: kind for n, kind in enumerate(types)}
        query["created[gte]"] = int(since)
        if undelivered:
            query["delivery_success"] = "false"
        return self._pages("/v1/events", query)

    def sessions(self, query: Mapping[str, Any], since: float) -> Iterator[Dict[str, Any]]:
        """Yield checkout sessions made since a moment, each with its subscription, the newest first."""
        for session in self._pages("/v1/checkout/sessions", {**query, "expand[]": "data.subscription"}):
            if session["created"] < since:
                return
            yield session

    def session(self, session: str) -> Dict[str, Any]:
        """Return one checkout session with its subscription."""
        query = {"expand[]": "subscription"}
        found: Dict[str, Any] = self._request(
            "GET", "/v1/checkout/sessions/%s" % _id(session), query=query
        ).data
        return found

    def customers(self, email: str) -> List[Dict[str, Any]]:
        """Return the customers with exactly this address (Stripe heeds upper and lower case)."""
        return list(self._pages("/v1/customers", {"email": email}))

    def retry(self, event: str, endpoint: str, once: str) -> None:
        """Have one event delivered to one endpoint again, as Stripe's own command line program does.

        The call is not in Stripe's public document. It delivers each time it is made, so it is sent once;
        `once` names this attempt, so that Stripe itself refuses to take it for a second one.
        """
        key = hashlib.sha256(("%s %s %s" % (once, event, endpoint)).encode()).hexdigest()
        self._request(
            "POST",
            "/v1/events/%s/retry" % _id(event),
            form={"webhook_endpoint": endpoint},
            headers={"Idempotency-Key": "oncall-" + key},
            repeatable=False,
        )

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
        after: Dict[str, Any] = {}
        for _number in range(_MAX_PAGES):
            page = self._request("GET", path, query={"limit": _PAGE, **query, **after}).data
            yield from page["data"]
            if not page["has_more"] or not page["data"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}
        raise ConflictError(
            "read all of %s" % path,
            on="Stripe",
            got="more than %d entries" % (_PAGE * _MAX_PAGES),
            next_step="look at a shorter time: set window_hours",
            kind="too_many",
        )

    def _request(self, method: str, path: str, **told: Any) -> Reply:
        try:
            reply = self._client.request(method, path, **told)
        except ApiError as error:
            if error.status == 404:
                error.kind = "not_found"
            raise
        said = reply.headers.get("date")
        if said:
            self.clock = parsedate_to_datetime(said).timestamp()
        return reply


def _id(given: str) -> str:
    """Return an id that is safe in a path."""
    if not given.replace("_", "").isalnum() or not given.isascii():
        raise UsageError(
            "use %r as an id of Stripe" % given, next_step="give the id as Stripe's dashboard shows it"
        )
    return given
