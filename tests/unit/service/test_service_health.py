"""Every service of a host in one call, against real processes in each state that an on-call meets."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.modules.service_health import run

from .conftest import SECRET, Supervised

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJlLWNhbmFyeQ"


def measure(*services: dict[str, Any], timeout: float = 2.0, checks: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the module's result for these services."""
    given = {"services": list(services), "timeout": timeout, "checks": list(checks)}
    return run({**given, "data_path": "/", "docker_root": "", "private_dir": ""}, check_mode=False)


def only(result: dict[str, Any], check: str) -> dict[str, Any]:
    """Return the one finding of a check."""
    (found,) = [f for f in result["findings"] if f["check"] == check]
    return found  # type: ignore[no-any-return]


def test_healthy_services_give_nothing_but_ok(supervised: Supervised) -> None:
    settings = [{"name": "AUTH_JWT_SECRET", "min_length": 32, "number": None}]
    result = measure(supervised.service(settings=settings), supervised.service("api", part="auth"))
    about = {(f["observed"]["service"], f["check"]) for f in result["findings"] if "service" in f["observed"]}
    every = {(name, f"service_{what}") for name in ("web", "api") for what in ("runtime", "health", "log")}
    assert about == every | {("web", "service_settings")}
    bad = [f for f in result["findings"] if f["status"] != "ok" and f["check"].startswith("service")]
    assert not bad
    assert {"data_disk", "data_inodes", "memory", "load"} <= {f["check"] for f in result["findings"]}


def test_four_troubles_of_a_health_address_have_four_names(supervised: Supervised) -> None:
    found = {}
    supervised.says(status=503, body={"status": "broken", "token": "canary-of-the-body"})
    found["status"] = only(measure(supervised.service()), "service_health")
    supervised.says(body={"status": "starting"})
    found["body"] = only(measure(supervised.service()), "service_health")
    supervised.says(delay=3)
    found["timeout"] = only(measure(supervised.service()), "service_health")
    found["refused"] = only(measure(supervised.service("broken")), "service_health")
    assert {f["observed"]["reason"] for f in found.values()} == set(found)
    assert [f["observed"]["reason"] for f in found.values()] == list(found)
    assert {f["status"] for f in found.values()} == {"fail"}
    assert "canary-of-the-body" not in json.dumps(found)
    assert "503" in found["status"]["summary"]


def test_a_redirect_is_not_health(supervised: Supervised) -> None:
    supervised.says(status=302, headers={"Location": "http://127.0.0.1:1/login?next=canary"})
    found = only(measure(supervised.service()), "service_health")
    assert (found["observed"]["reason"], "redirect" in found["summary"]) == ("status", True)


def test_what_hangs_costs_its_own_time_only(supervised: Supervised) -> None:
    os.kill(supervised.provider().state().pid, signal.SIGSTOP)
    started = time.monotonic()
    result = measure(supervised.service(), supervised.service("api"), timeout=1.0)
    assert time.monotonic() - started < 4.5
    states = {
        (f["observed"]["service"], f["check"]): f["status"]
        for f in result["findings"]
        if f["check"] in ("service_runtime", "service_health")
    }
    assert states == {
        ("web", "service_runtime"): "fail",
        ("web", "service_health"): "fail",
        ("api", "service_runtime"): "ok",
        ("api", "service_health"): "ok",
    }


def test_stopped_and_missing_are_two_things(supervised: Supervised) -> None:
    missing = supervised.service("broken", runtime=supervised.runtime("nobody"), hint="call somebody")
    result = measure(supervised.service("broken"), missing, checks=("service_runtime",))
    stopped, gone = result["findings"]
    assert (stopped["status"], stopped["observed"]["exists"]) == ("fail", True)
    assert stopped["observed"]["word"] in ("stopped", "exited")
    assert (gone["status"], gone["observed"]["exists"]) == ("fail", False)
    assert gone["summary"].endswith("Next: call somebody")


def test_the_log_is_classified_and_says_nothing_secret(supervised: Supervised) -> None:
    now = datetime.now(UTC)
    stamp, old = now.strftime("%Y-%m-%dT%H:%M:%SZ"), "2026-01-01T00:00:00Z"
    supervised.log(
        f"{old} ERROR No space left on device\n"
        f"{stamp} INFO request took long, timed out budget 3 s\n"
        f"{stamp} ERROR first cause: db connection error for jane.roe@example.org\n"
        f"{stamp} ERROR invalid token {TOKEN}\n" + f"{stamp} ERROR db connection error\n" * 60
    )
    rules = {"patterns": {"first cause": "own"}, "window_minutes": 15.0}
    found = only(measure(supervised.service(log=rules), checks=("service_log",)), "service_log")
    assert found["observed"]["classes"] == {"own": 1, "database": 60, "tokens": 1}
    assert "first cause" in found["observed"]["first"]
    assert found["status"] == "warn"
    assert not [s for s in (TOKEN, "jane.roe") if s in json.dumps(found)]
    supervised.log(f"{stamp} OSError: [Errno 28] No space left on device\n")
    found = only(measure(supervised.service(), checks=("service_log",)), "service_log")
    assert (found["status"], found["observed"]["worst"]) == ("fail", "disk_full")


def test_a_traceback_belongs_to_the_line_before_it(supervised: Supervised) -> None:
    supervised.log("2026-01-01T00:00:00Z ERROR old\nTraceback (most recent call last):\nMemoryError\n")
    assert only(measure(supervised.service(), checks=("service_log",)), "service_log")["status"] == "ok"


@pytest.mark.parametrize(
    ("started_with", "file", "status", "remedy"),
    [
        (SECRET, SECRET, "ok", ""),
        ("", SECRET, "fail", "recreate"),
        (None, SECRET, "fail", "recreate"),
        (SECRET[:31], SECRET[:31], "fail", "rotate"),
        (SECRET[:32], SECRET[:32], "ok", ""),
        (SECRET, SECRET + "changed", "warn", "recreate"),
        (None, None, "fail", "rotate"),
        (SECRET, None, "warn", "correct"),
    ],
    ids=["right", "empty", "missing", "too short", "long enough", "other file", "nowhere", "not in file"],
)
def test_a_secret_is_judged_in_the_service_and_in_its_file(
    supervised: Supervised, started_with: str | None, file: str | None, status: str, remedy: str
) -> None:
    _start_with(supervised, started_with, file)
    rules = [{"name": "AUTH_JWT_SECRET", "min_length": 32, "number": None}]
    found = only(measure(supervised.service(settings=rules)), "service_settings")
    assert (found["status"], found["observed"]["remedy"]) == (status, remedy), found["summary"]
    assert "canary-secret" not in json.dumps(found)


@pytest.mark.parametrize(
    ("started_with", "file", "status", "remedy"),
    [
        (SECRET, SECRET, "ok", ""),
        (SECRET[::-1], SECRET[::-1], "fail", "correct"),
        (SECRET[::-1], SECRET, "fail", "recreate"),
        (SECRET, SECRET[::-1], "warn", "correct"),
        (None, None, "fail", "correct"),
    ],
)
def test_a_secret_that_another_place_knows_is_held_against_it(
    supervised: Supervised, started_with: str | None, file: str | None, status: str, remedy: str
) -> None:
    _start_with(supervised, started_with, file)
    rules = [{"name": "AUTH_JWT_SECRET", "min_length": 1, "number": None, "value": SECRET}]
    found = only(measure(supervised.service(settings=rules)), "service_settings")
    assert (found["status"], found["observed"]["remedy"]) == (status, remedy), found["summary"]
    assert not [told for told in (SECRET, SECRET[::-1]) if told in json.dumps(found)]


def _start_with(supervised: Supervised, started_with: str | None, file: str | None) -> None:
    def write(value: str | None) -> None:
        line = "" if value is None else f"AUTH_JWT_SECRET={value}\n"
        supervised.env_file.write_text(f"MARK=1\n{line}")

    write(started_with)
    supervised.provider().restart(stop_timeout=5)
    deadline = time.monotonic() + 5
    while "MARK" not in supervised.provider().read_environment():
        assert time.monotonic() < deadline
    write(file)


def test_a_lifetime_is_told_as_the_number_it_is(supervised: Supervised) -> None:
    rules = [{"name": "AUTH_JWT_EXPIRY", "min_length": 1, "number": 86400}]
    found = only(measure(supervised.service(settings=rules)), "service_settings")
    assert (found["status"], found["observed"]["remedy"]) == ("warn", "correct")
    assert "3600 instead of 86400" in found["summary"]


@pytest.mark.parametrize(("count", "status"), [(0, "fail"), (1, "warn"), (4, "ok")])
def test_a_tunnel_counts_its_connections(supervised: Supervised, count: int, status: str) -> None:
    supervised.says(status=200 if count else 503, body={"status": 200, "readyConnections": count})
    rule = {"field": "readyConnections", "warn_below": 2}
    service = supervised.service(
        part="edge", connections=rule, health=supervised.health(json={"status": 200})
    )
    assert only(measure(service), "tunnel_connections")["status"] == status


def test_a_tunnel_that_hides_its_metrics_is_unknown_and_not_down(supervised: Supervised) -> None:
    rule = {"field": "readyConnections", "warn_below": 2}
    away = supervised.health("broken")
    result = measure(supervised.service(part="edge", connections=rule, health=away))
    assert only(result, "tunnel_connections")["status"] == "unknown"
    assert only(result, "service_health")["status"] == "unknown"
    assert only(result, "service_runtime")["status"] == "ok"


def test_a_platform_that_cannot_be_asked_still_says_which_service_it_is_about(supervised: Supervised) -> None:
    runtime = {**supervised.runtime(), "config": "/nowhere/supervisord.conf"}
    result = measure(supervised.service(runtime=runtime, health=None))
    found = only(result, "service_runtime")
    assert (found["status"], found["observed"]["part"]) == ("unknown", "stream")
    assert "runtime.config" in found["summary"]
