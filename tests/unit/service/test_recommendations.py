"""Which mitigation the two runbooks advise for which findings: their headers against what probes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from runbook_engine.recommend import recommend

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
WELL = {
    "relay": "stream",
    "owl_api": "stream",
    "auth": "auth",
    "tunnel": "edge",
    "postgres": "database",
}
Findings = list[dict[str, Any]]


def header(name: str) -> dict[str, Any]:
    """Return the header of a runbook, as the engine reads it."""
    plays = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())
    return plays[0]["vars"]["runbook"]  # type: ignore[no-any-return]


def one(check: str, status: str, /, **observed: Any) -> dict[str, Any]:
    """Return a finding."""
    return {
        "check": check,
        "host": "h",
        "status": status,
        "observed": observed,
        "expected": None,
        "summary": "",
    }


def of(service: str, what: str, status: str = "fail", /, **observed: Any) -> dict[str, Any]:
    """Return a finding about a service."""
    return one(f"service_{what}", status, service=service, part=WELL[service], **observed)


def secret(remedy: str, status: str = "fail", service: str = "auth") -> dict[str, Any]:
    """Return a finding about the secret of a service."""
    return of(service, "settings", status, setting="AUTH_JWT_SECRET", remedy=remedy)


def healthy() -> Findings:
    """Everything that both runbooks measure on a good day."""
    found = [of(name, what, "ok") for name in WELL for what in ("runtime", "health", "log")]
    found += [secret("", "ok"), one("tunnel_connections", "ok", service="tunnel", part="edge", connections=4)]
    names = (
        "data_disk",
        "data_inodes",
        "docker_disk",
        "memory",
        "public_health",
        "canary_stream",
        "cdn_health",
    )
    found += [one(name, "ok") for name in (*names, "canary_auth", "login_round_trip", "token_accepted")]
    # What a probe observes need not be a dictionary.
    return [*found, {**one("backup_age", "ok"), "observed": 4.7}, {**one("load", "warn"), "observed": None}]


def advised(runbook: str, *bad: dict[str, Any]) -> list[str]:
    """Return the names of the mitigations advised when these findings are not as on a good day."""

    def about(found: dict[str, Any]) -> tuple[Any, ...]:
        seen = found["observed"] if isinstance(found["observed"], dict) else {}
        return found["check"], seen.get("service"), seen.get("setting")

    replaced = {about(found) for found in bad}
    findings = [found for found in healthy() if about(found) not in replaced] + list(bad)
    return [told["name"] for told in recommend(header(runbook), findings)["advised"]]


DISK = one("data_disk", "fail")
CDN = one("cdn_health", "fail", part="edge")
NO_TUNNEL = one("tunnel_connections", "fail", service="tunnel", part="edge", connections=0)
UNKNOWN_TUNNEL = one("tunnel_connections", "unknown", service="tunnel", part="edge")
NO_STREAM = one("canary_stream", "fail", part="stream", status=502)
STREAM: list[tuple[str, Findings, list[str]]] = [
    ("a good day", [], []),
    ("relay is down", [of("relay", "runtime"), of("relay", "health"), NO_STREAM], ["restart-services"]),
    ("owl_api answers 503", [of("owl_api", "health"), NO_STREAM], ["restart-services"]),
    ("the database is down", [of("postgres", "runtime"), of("relay", "health"), NO_STREAM], []),
    ("the disk is full", [DISK, of("relay", "health")], ["free-disk"]),
    ("a log says that a disk is full", [of("relay", "log", worst="disk_full")], ["free-disk"]),
    ("no connection to the edge", [NO_TUNNEL, one("public_health", "fail")], ["restart-tunnel"]),
    ("the tunnel is gone", [of("tunnel", "runtime"), of("tunnel", "health", "unknown")], ["restart-tunnel"]),
    (
        "nobody knows the tunnel's connections, and nothing comes in",
        [UNKNOWN_TUNNEL, one("public_health", "fail")],
        ["restart-tunnel"],
    ),
    (
        "the tunnel's metrics are not there, and all is well",
        [
            one("tunnel_connections", "unknown", service="tunnel", part="edge"),
            of("tunnel", "health", "unknown"),
        ],
        [],
    ),
    ("the CDN is ill", [CDN, NO_STREAM], ["failover-cdn"]),
    ("the CDN is ill because relay is", [CDN, of("relay", "health")], ["restart-services"]),
    ("the CDN cannot be asked without a tunnel", [CDN, NO_TUNNEL], ["restart-tunnel"]),
    ("a subscriber is refused", [one("canary_auth", "fail", part="stream", status=401)], []),
    ("only auth is down", [of("auth", "health")], []),
]
NO_LOGIN = one("login_round_trip", "fail", part="auth", step="login", status=500)
AUTH: list[tuple[str, Findings, list[str]]] = [
    ("a good day", [], []),
    ("auth is down", [of("auth", "runtime"), of("auth", "health")], ["restart-auth"]),
    ("health says ok, but nobody can log in", [NO_LOGIN], ["restart-auth"]),
    ("the canary's password is wrong", [{**NO_LOGIN, "observed": {"status": 401, "step": "login"}}], []),
    ("nothing comes in, logins neither", [NO_LOGIN, NO_TUNNEL], []),
    ("the secret is in the file only", [secret("recreate"), NO_LOGIN], ["recreate-auth"]),
    ("relay has an old secret", [secret("recreate", "warn", "relay")], ["recreate-auth"]),
    ("the secret is lost", [secret("rotate"), NO_LOGIN], ["rotate-secret"]),
    ("the secret left the file only", [secret("correct", "warn")], []),
    ("the database is down", [of("auth", "health"), of("postgres", "runtime")], []),
    ("the disk is full", [of("auth", "health"), DISK], []),
    ("only relay is down", [of("relay", "health")], []),
]


@pytest.mark.parametrize(("bad", "expected"), [case[1:] for case in STREAM], ids=[case[0] for case in STREAM])
def test_stream_outage(bad: Findings, expected: list[str]) -> None:
    assert advised("stream_outage", *bad) == expected


@pytest.mark.parametrize(("bad", "expected"), [case[1:] for case in AUTH], ids=[case[0] for case in AUTH])
def test_auth_outage(bad: Findings, expected: list[str]) -> None:
    assert advised("auth_outage", *bad) == expected
