"""What a user of the system sees from outside, asked of real servers."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils.probes.urls import measure_urls

from runbook.rehearsal.processes import free_port

from .conftest import Supervised


def check(supervised: Supervised, **changed: Any) -> dict[str, Any]:
    """Return one entry of the option `outside`."""
    defaults = {
        "check": "canary_stream", "part": "stream", "method": "GET", "headers": {}, "served_by": "",
        "denied_check": "", "denied_hint": "", "login": None, "unconfigured": "",
    }  # fmt: skip
    return {**defaults, **supervised.health(json=None), **changed}


def test_a_refused_subscriber_is_another_runbooks_business(supervised: Supervised) -> None:
    supervised.says(status=401, body={"error": "canary"})
    asked = check(supervised, denied_check="canary_auth", denied_hint="runbook run roost auth-outage")
    stream, auth = measure_urls([asked])
    assert (stream["check"], stream["status"], stream["observed"]["status"]) == ("canary_stream", "ok", 401)
    assert (auth["check"], auth["status"]) == ("canary_auth", "fail")
    assert auth["summary"].endswith("Next: runbook run roost auth-outage")


def test_an_error_of_the_stream_says_nothing_about_authentication(supervised: Supervised) -> None:
    supervised.says(status=502, body="bad gateway")
    stream, auth = measure_urls([check(supervised, denied_check="canary_auth")])
    assert (stream["status"], auth["status"]) == ("fail", "unknown")
    assert "bad gateway" in stream["summary"]


def test_the_origin_that_served_is_told(supervised: Supervised) -> None:
    supervised.says(headers={"X-Served-By": "bunny"})
    (found,) = measure_urls([check(supervised, served_by="X-Served-By")])
    assert found["observed"]["served_by"] == "bunny"


def test_a_login_tells_the_lifetime_of_a_fresh_token_and_nothing_else_of_it(supervised: Supervised) -> None:
    now = int(time.time())
    claims = (
        base64.urlsafe_b64encode(json.dumps({"iat": now, "exp": now + 900}).encode()).decode().rstrip("=")
    )
    token = f"eyJhbGciOiJIUzI1NiJ9.{claims}.canary"
    supervised.says("api", body={"token": token})
    login = {"url": supervised.health("api")["url"], "body": {"password": "canary-pw"}, "token": "token"}
    (found,) = measure_urls([check(supervised, login=login)])
    assert (found["status"], found["observed"]["token_lifetime_s"]) == ("ok", 900)
    assert claims not in json.dumps(found)
    supervised.says("api", status=500)
    (found,) = measure_urls([check(supervised, login=login)])
    assert (found["status"], found["observed"]["step"]) == ("fail", "login")
    supervised.says("api", body={"no": "token"})
    (found,) = measure_urls([check(supervised, login=login)])
    assert (found["status"], found["observed"]["reason"]) == ("fail", "body")


def test_what_is_not_configured_is_unknown_and_says_what_to_set(supervised: Supervised) -> None:
    (found,) = measure_urls([check(supervised, unconfigured="set canary_token")])
    assert (found["status"], "set canary_token" in found["summary"]) == ("unknown", True)


def test_names_and_ports_without_anybody_are_told_apart(supervised: Supervised) -> None:
    gone = {"url": f"http://127.0.0.1:{free_port()}/", "check": "one"}
    nameless = {"url": "http://nobody.invalid/", "check": "two"}
    one, two = measure_urls([check(supervised, **gone), check(supervised, **nameless)])
    assert (one["observed"]["reason"], two["observed"]["reason"]) == ("refused", "name")


def test_a_secret_with_a_line_end_is_not_quoted(supervised: Supervised) -> None:
    asked = check(supervised, headers={"X-Key": "canary-with-a-line-end\n"})
    (found,) = measure_urls([asked])
    assert (found["status"], "such as a line end" in found["summary"]) == ("unknown", True)
    assert "canary-with" not in json.dumps(found)


def test_encryption_that_is_not_there_is_told(supervised: Supervised) -> None:
    url = supervised.health()["url"].replace("http:", "https:")
    (found,) = measure_urls([check(supervised, url=url)])
    assert (found["status"], found["observed"]["reason"]) == ("fail", "tls")
