"""What directs the traffic is measured, and what stands in the way of measuring is said."""

from __future__ import annotations

from typing import Any

import pytest
from edge_servers import Act, admin_options, cloudflare_options

from runbook.rehearsal.vendors.base import VendorServer


def only(result: dict[str, Any], check: str = "cdn_health") -> dict[str, Any]:
    (found,) = [f for f in result["findings"] if f["check"] == check]
    assert found["observed"]["part"] == "edge"
    assert found["host"] == "video1"
    return dict(found)


@pytest.mark.parametrize(
    ("active", "health", "verdict"),
    [
        ("cloudflare", (True, True), ("ok", "")),
        ("cloudflare", (True, False), ("warn", "standby_unhealthy")),
        ("cloudflare", (False, True), ("fail", "active_unhealthy")),
        ("cloudflare", (None, True), ("unknown", "health_unknown")),
        ("bunny", (True, True), ("warn", "failed_over")),
        ("bunny", (True, False), ("fail", "active_unhealthy")),
        ("gone", (True, True), ("unknown", "active_unknown")),
    ],
)
def test_every_state_has_its_verdict(
    admin: VendorServer, act: Act, active: str, health: tuple[Any, Any], verdict: tuple[str, str]
) -> None:
    pairs = zip(("cloudflare", "bunny"), health, strict=True)
    origins = [{"name": n, "healthy": h} for n, h in pairs]
    admin.vendor.state.update(active=active, origins=origins)
    found = only(act("cdn_health", **admin_options(admin, probe=None)))
    assert (found["status"], found["observed"]["reason"]) == verdict


@pytest.mark.parametrize(
    ("fault", "api", "told"),
    [
        ({}, {"token": "canary-expired-0123456789"}, ("admin_api.token", "denied")),
        ({}, {"token": ""}, ("admin_api.token", "usage")),
        ({"do": "status 502"}, {}, ("outage", "unreachable")),
        ({"do": "garbage"}, {}, ("not JSON", "unreachable")),
        ({}, {"health_path": "/admin/cdn/none"}, ("404", "api")),
    ],
)
def test_what_cannot_be_measured_is_unknown_with_its_reason(
    admin: VendorServer, act: Act, fault: dict[str, Any], api: dict[str, Any], told: tuple[str, str]
) -> None:
    if fault:
        admin.set_faults({"path": "/admin/", **fault})
    found = only(act("cdn_health", **admin_options(admin, api=api, probe=None)))
    assert (found["status"], found["observed"]["reason"]) == ("unknown", told[1])
    assert told[0] in found["summary"]


def test_an_answer_of_another_shape_is_unknown(admin: VendorServer, act: Act) -> None:
    admin.vendor.state["origins"] = "none"
    assert only(act("cdn_health", **admin_options(admin)))["status"] == "unknown"


def test_traffic_is_seen_from_outside(admin: VendorServer, act: Act) -> None:
    assert only(act("cdn_health", **admin_options(admin)), "cdn_traffic")["status"] == "ok"
    admin.vendor.state["serves"] = "bunny"
    found = only(act("cdn_health", **admin_options(admin)), "cdn_traffic")
    assert found["status"] == "fail"
    assert "bunny answers" in found["summary"]


def test_pools_of_cloudflare_are_origins(cloudflare: VendorServer, act: Act) -> None:
    cloudflare.vendor.set_health(primary=False)  # type: ignore[attr-defined]
    # The balancer itself has gone on to the next pool of its list.
    found = only(act("cdn_health", **cloudflare_options(cloudflare)))
    assert (found["status"], found["observed"]["active"]) == ("warn", "standby")
    cloudflare.vendor.set_health(primary=False, standby=False)  # type: ignore[attr-defined]
    assert only(act("cdn_health", **cloudflare_options(cloudflare)))["status"] == "fail"
