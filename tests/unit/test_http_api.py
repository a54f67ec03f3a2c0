"""The client for vendors' APIs against a server that misbehaves."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UnreachableError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.http_api import (
    ApiClient,
    ApiError,
    RateLimitedError,
    vendor_message,
)

from runbook.rehearsal.vendors.base import Answer, Refusal, Request, Route, Vendor, VendorServer


class Echo(Vendor):
    """A vendor that says what it was told, and quotes a bad credential back."""

    token = f"canary-{secrets.token_hex(12)}"

    def authorize(self, request: Request) -> None:
        """Refuse every credential but one."""
        given = request.headers.get("authorization", "")
        if given != f"Bearer {self.token}":
            raise Refusal(401, {"error": {"type": "auth", "message": f"bad key {given.split()[-1]}"}})

    def _echo(self, request: Request) -> Answer:
        return Answer(200, {"query": dict(request.query), "body": request.body.decode()})

    def _refuse(self, _request: Request) -> Answer:
        raise Refusal(422, {"error": {"code": "invalid_input", "message": "size is too small"}})

    routes: ClassVar[list[Route]] = [
        ("GET", "/echo", _echo),
        ("POST", "/echo", _echo),
        ("POST", "/refuse", _refuse),
        ("GET", "/moved", lambda _s, _r: Answer(302, None, {"Location": "http://127.0.0.1:1/"})),
        ("DELETE", "/echo", lambda _s, _r: Answer(204)),
    ]


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[VendorServer]:
    """A vendor that is up."""
    with VendorServer(Echo(tmp_path)) as server:
        yield server


def client(vendor: VendorServer, **changes: Any) -> ApiClient:
    """A client that knows the key, does not wait between attempts."""
    token = changes.pop("token", Echo.token)
    options: dict[str, Any] = {"timeout": 0.5, "sleep": lambda _s: None, "credential": "echo_token"}
    headers = {"Authorization": f"Bearer {token}"}
    return ApiClient(vendor.base_url, name="Echo", headers=headers, **{**options, **changes})


def test_query_json_and_form_arrive(vendor: VendorServer) -> None:
    api = client(vendor)
    assert api.get("/echo", {"email": "o'brien+x@example.org"})["query"] == {"email": "o'brien+x@example.org"}
    assert json.loads(api.request("POST", "/echo", json={"a": [1]}).data["body"]) == {"a": [1]}
    assert api.request("POST", "/echo", form={"a[b]": "c d"}).data["body"] == "a%5Bb%5D=c+d"
    assert api.request("DELETE", "/echo").data is None


@pytest.mark.parametrize("do", ["status 429", "status 503", "reset"])
def test_a_read_is_tried_again(vendor: VendorServer, do: str) -> None:
    vendor.set_faults({"do": do, "times": 2})
    assert client(vendor).get("/echo") == {"query": {}, "body": ""}
    assert len(vendor.requests()) == 3


@pytest.mark.parametrize("do", ["status 500", "reset", "stall 2"])
def test_a_write_is_sent_once_and_its_fate_is_said_to_be_open(vendor: VendorServer, do: str) -> None:
    vendor.set_faults({"do": do})
    with pytest.raises(UnreachableError, match="may have been done all the same"):
        client(vendor).request("POST", "/echo", json={})
    assert len(vendor.requests()) == 1


def test_a_write_that_may_be_repeated_is(vendor: VendorServer) -> None:
    vendor.set_faults({"do": "reset", "times": 1})
    assert client(vendor).request("POST", "/echo", form={"a": "b"}, repeatable=True).status == 200


def test_what_the_vendor_says_about_waiting_is_obeyed_within_reason(vendor: VendorServer) -> None:
    slept: list[float] = []
    vendor.set_faults({"do": "status 429", "times": 1, "headers": {"Retry-After": "7"}})
    client(vendor, sleep=slept.append).get("/echo")
    vendor.set_faults({"do": "status 429", "times": 1, "headers": {"Retry-After": "3600"}})
    client(vendor, sleep=slept.append).get("/echo")
    assert slept == [7.0, 20.0]


def test_each_refusal_is_its_own_error(vendor: VendorServer) -> None:
    vendor.set_faults({"do": "status 429"})
    with pytest.raises(RateLimitedError, match="wait 60 s"):
        client(vendor).get("/echo")
    vendor.set_faults({"do": "garbage"})
    with pytest.raises(UnreachableError, match="is not JSON"):
        client(vendor).get("/echo")
    vendor.set_faults()
    with pytest.raises(ApiError, match="status 422: invalid_input size is too small") as caught:
        client(vendor).request("POST", "/refuse", json={})
    assert (caught.value.status, caught.value.code) == (422, "invalid_input")
    with pytest.raises(ApiError, match="status 302"):
        client(vendor).get("/moved")
    vendor.__exit__()
    with pytest.raises(UnreachableError, match=r"no answer.*\(4 attempts\)"):
        client(vendor).get("/echo")


def test_a_refused_credential_is_named_and_never_shown(vendor: VendorServer) -> None:
    wrong = f"canary-{secrets.token_hex(12)}"
    with pytest.raises(DeniedError, match="set echo_token") as caught:
        client(vendor, token=wrong).get("/echo")
    assert wrong not in caught.value.message
    assert "bad key (hidden)" in caught.value.message
    assert isinstance(caught.value, OncallError)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"type": "card_error", "message": "m"}}', ("card_error", "m")),
        (b'{"success": false, "errors": [{"code": 1000, "message": "m"}]}', ("1000", "m")),
        (b'{"id": "bad_request", "message": "m"}', ("bad_request", "m")),
        (b'{"error": "m"}', ("", "m")),
        (b"[1]", ("", "")),
        (b"\xff<html>", ("", "")),
    ],
)
def test_errors_of_every_vendor_are_read(body: bytes, expected: tuple[str, str]) -> None:
    assert vendor_message(body) == expected
