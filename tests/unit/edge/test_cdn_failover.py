"""Traffic moves only to what is healthy, moving is proved from outside, and what failed is taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from edge_servers import Act, admin_options, cloudflare_options, probe

from runbook.rehearsal.vendors.base import VendorServer

CASES = {"admin_api": ("cloudflare", "bunny"), "cloudflare_lb": ("primary", "standby")}


def writes(server: VendorServer) -> list[dict[str, Any]]:
    return [r for r in server.requests() if r["method"] not in ("GET", "HEAD")]


@pytest.fixture(params=list(CASES))
def edge(request: pytest.FixtureRequest) -> tuple[VendorServer, Any, str, str]:
    """Each provider over HTTP: its server, how its options are made, the normal origin and the other."""
    admin = request.param == "admin_api"
    server = request.getfixturevalue("admin" if admin else "cloudflare")
    return (server, admin_options if admin else cloudflare_options, *CASES[request.param])


def test_over_and_back_is_proved_and_predicted(edge: Any, act: Act) -> None:
    server, options, primary, other = edge
    before = dict(server.vendor.state)
    planned = act("cdn_failover", check_mode=True, **options(server))
    assert not writes(server)
    done = act("cdn_failover", **options(server))
    assert {k: planned[k] for k in ("changed", "diff", "prediction", "undo")} == {
        k: done[k] for k in ("changed", "diff", "prediction", "undo")
    }
    assert (done["changed"], done["active_before"], done["active"]) == (True, primary, other)
    assert done["proof"]["answered_by"] == {other: 3}
    again = act("cdn_failover", **options(server))
    assert (again["changed"], again["proof"]["good_in_row"]) == (False, 3)
    undo = done["undo"]
    assert (undo["role"], undo["entry_point"]) == ("oncall.runbooks.edge", "failback")
    json.dumps(undo["args"])
    back = act("cdn_failover", state="failed_back", before=undo["args"]["before"], **options(server))
    assert (back["changed"], back["active"]) == (True, primary)
    assert dict(server.vendor.state) == before
    once_more = act("cdn_failover", state="failed_back", **options(server))
    assert once_more["changed"] is False


def test_an_unhealthy_target_is_refused_unless_there_is_a_reason(
    admin: VendorServer, act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.vendor.state["origins"][1]["healthy"] = False
    refused = act("cdn_failover", target="bunny", **admin_options(admin))
    assert refused["error"]["kind"] == "unhealthy"
    assert refused["left_unchanged"]
    assert not writes(admin)
    chosen = act("cdn_failover", **admin_options(admin))
    assert "bunny is NOT healthy" in chosen["msg"], "it does not choose an ill origin by itself either"
    admin.vendor.state["lax"] = True
    monkeypatch.setenv("ONCALL_PROGRESS", str(tmp_path / "progress"))
    forced = act("cdn_failover", target="bunny", force_reason="better than none", **admin_options(admin))
    assert forced["changed"]
    assert "better than none" in forced["prediction"]["summary"]
    kept = json.loads((tmp_path / "progress").read_text())
    assert kept["undo"]["args"]["before"]["settings"] == {"active": "cloudflare"}
    assert kept["text"] == "switching", "it is shown to the operator, who reads no JSON"


def test_a_switch_that_nobody_outside_sees_is_taken_back(edge: Any, act: Act) -> None:
    server, options, _, other = edge
    elsewhere = options(server)
    # Outside somebody else answers, whatever is set.
    elsewhere["probe"] = probe(elsewhere["probe"]["url"], served_by={other: "nobody"})
    before = json.dumps(server.vendor.state)
    failed = act("cdn_failover", **elsewhere)
    assert failed["failed"]
    assert failed["left_unchanged"]
    assert f"{other} answers" in failed["msg"]
    assert "Traffic is as it was before" in failed["msg"]
    assert json.dumps(server.vendor.state) == before
    assert len(writes(server)) == 2


def test_an_origin_that_serves_errors_is_no_proof(cloudflare: VendorServer, act: Act) -> None:
    options = cloudflare_options(cloudflare)
    options["probe"] = probe(cloudflare.base_url + "/edge/other.example.com", served_by_header="")
    failed = act("cdn_failover", **options)
    assert "status 530" in failed["msg"]
    assert cloudflare.vendor.state["balancers"][0]["default_pools"].__len__() == 2


def test_a_provider_that_only_says_yes_is_found_out(admin: VendorServer, act: Act) -> None:
    admin.vendor.state["stuck"] = True
    failed = act("cdn_failover", **admin_options(admin))
    assert failed["failed"]
    assert failed["left_unchanged"]
    assert "says something else now" in failed["msg"]


def test_what_cannot_be_taken_back_says_so_and_keeps_the_way(admin: VendorServer, act: Act) -> None:
    options = admin_options(admin, probe=probe(admin.base_url + "/missing"))
    admin.set_faults()
    # The second request of the API, the way back, fails.
    switched = {"method": "POST", "path": "failover", "do": "status 500", "times": 9}

    def then_broken(path: str = "") -> None:
        admin.set_faults(switched)

    original = admin.vendor._dispatch

    def dispatch(request: Any) -> Any:
        answer = original(request)
        if request.method == "POST":
            then_broken()
        return answer

    admin.vendor._dispatch = dispatch  # type: ignore[method-assign]
    failed = act("cdn_failover", **options)
    assert failed["failed"]
    assert not failed["left_unchanged"]
    assert "could not be put back" in failed["msg"]
    assert failed["undo"]["args"]["before"]["active"] == "cloudflare"
    assert admin.vendor.state["active"] == "bunny"


@pytest.mark.parametrize("done", [True, False])
def test_a_lost_answer_decides_nothing(admin: VendorServer, act: Act, done: bool) -> None:
    if done:
        # It is carried out, and the answer comes too late.
        admin.set_faults({"method": "POST", "path": "failover", "do": "stall 0.8", "times": 1})
        original = admin.vendor.fault

        def fault(request: Any) -> Any:
            rule = original(request)
            if rule:
                admin.vendor.answer(request)
            return rule

        admin.vendor.fault = fault  # type: ignore[method-assign]
    else:
        admin.set_faults({"method": "POST", "path": "failover", "do": "reset", "times": 1})
    result = act("cdn_failover", **admin_options(admin))
    if done:
        assert result["changed"]
        assert not result.get("failed")
    else:
        assert result["failed"]
        assert result["left_unchanged"]
        assert admin.vendor.state["active"] == "cloudflare"
    assert len([r for r in writes(admin) if r["path"].endswith("failover")]) <= 2


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"do": "status 401"}, "set admin_api.token"),
        ({"do": "status 429", "headers": {"Retry-After": "0"}}, "wait 0 s"),
        ({"do": "status 503"}, "outage"),
        ({"do": "stall 1"}, "no answer"),
        ({"do": "garbage"}, "not JSON"),
    ],
)
def test_an_api_in_trouble_changes_nothing(
    admin: VendorServer, act: Act, broken: dict[str, Any], says: str
) -> None:
    admin.set_faults({"path": "/admin/", **broken})
    failed = act("cdn_failover", **admin_options(admin))
    assert failed["failed"]
    assert failed["left_unchanged"]
    assert says in failed["msg"]
    assert admin.vendor.state["active"] == "cloudflare"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"api": {"token": ""}}, "set admin_api.token"),
        ({"api": {"token": "canary-expired-0123456789"}}, "valid, unexpired"),
        ({"target": "akamai"}, "no origin akamai; it has: cloudflare, bunny"),
        ({"probe": None}, "set probe.url"),
        ({"admin_api": None}, "set the option admin_api"),
        ({"before": {"active": "x"}}, "only for failed_back"),
        ({"state": "failed_back", "primary": ""}, "set primary"),
        ({"provider": "akamai"}, "must be one of"),
    ],
)
def test_bad_input_is_refused_by_name(
    admin: VendorServer, act: Act, changed: dict[str, Any], says: str
) -> None:
    failed = act("cdn_failover", **admin_options(admin, **changed))
    assert failed["failed"]
    assert says in failed["msg"]
    assert not writes(admin)


def test_a_second_address_is_asked_when_the_first_is_down(admin: VendorServer, act: Act) -> None:
    api = {"url": "http://127.0.0.1:9", "fallback_urls": [admin.base_url]}
    done = act("cdn_failover", **admin_options(admin, api=api))
    assert done["changed"]
    assert admin.vendor.state["active"] == "bunny"


def test_a_refused_token_is_not_tried_elsewhere(admin: VendorServer, act: Act) -> None:
    api = {"token": "canary-expired-0123456789", "fallback_urls": ["http://127.0.0.1:9"]}
    failed = act("cdn_failover", **admin_options(admin, api=api))
    assert failed["error"]["kind"] == "denied"


class TestCloudflare:
    def test_only_patch_is_sent_and_only_what_changes(self, cloudflare: VendorServer, act: Act) -> None:
        act("cdn_failover", **cloudflare_options(cloudflare))
        (sent,) = writes(cloudflare)
        standby = cloudflare.vendor.state["pools"][1]["id"]
        assert sent["method"] == "PATCH"
        assert json.loads(sent["body"]) == {"default_pools": [standby], "fallback_pool": standby}

    def test_visitors_who_are_sent_by_place_move_too_and_come_back(
        self, cloudflare: VendorServer, act: Act
    ) -> None:
        balancer, pools = cloudflare.vendor.state["balancers"][0], cloudflare.vendor.state["pools"]
        balancer["region_pools"] = {"WEU": [pools[0]["id"]]}
        done = act("cdn_failover", target="standby", **cloudflare_options(cloudflare))
        assert balancer["region_pools"] == {}
        back = act(
            "cdn_failover",
            state="failed_back",
            before=done["undo"]["args"]["before"],
            **cloudflare_options(cloudflare),
        )
        assert back["changed"]
        assert balancer["region_pools"] == {"WEU": [pools[0]["id"]]}

    def test_a_disabled_pool_is_enabled_when_it_is_forced_and_disabled_again(
        self, cloudflare: VendorServer, act: Act
    ) -> None:
        pool = cloudflare.vendor.state["pools"][1]
        pool["enabled"] = False
        options = cloudflare_options(cloudflare)
        assert "disabled" in act("cdn_failover", target="standby", **options)["msg"]
        done = act("cdn_failover", target="standby", force_reason="it was checked by hand", **options)
        assert pool["enabled"]
        back = act("cdn_failover", state="failed_back", before=done["undo"]["args"]["before"], **options)
        assert back["changed"]
        assert not pool["enabled"]

    @pytest.mark.parametrize("health", [False, None])
    def test_what_no_monitor_sees_healthy_is_refused(
        self, cloudflare: VendorServer, act: Act, health: bool | None
    ) -> None:
        cloudflare.vendor.set_health(standby=health)  # type: ignore[attr-defined]
        failed = act("cdn_failover", target="standby", **cloudflare_options(cloudflare))
        assert failed["error"]["kind"] == "unhealthy"
        assert not writes(cloudflare)

    def test_more_pools_than_a_page_shows_are_all_found(self, cloudflare: VendorServer, act: Act) -> None:
        state = cloudflare.vendor.state
        state["pools"][1:1] = [cloudflare.vendor._new_pool(f"p{n}") for n in range(60)]  # type: ignore[attr-defined]
        done = act("cdn_failover", target="standby", **cloudflare_options(cloudflare))
        assert done["active"] == "standby"
        asked = [r for r in cloudflare.requests() if r["path"].endswith("/health")]
        mine = {pool["id"] for pool in (state["pools"][0], state["pools"][-1])}
        assert {r["path"].split("/")[-2] for r in asked} == mine, "the others are none of this balancer's"

    @pytest.mark.parametrize(
        ("api", "says"),
        [
            ({"token": "canary-of-another-account"}, "Load Balancing: Edit"),
            ({"load_balancer": "nope.example.com"}, "no load balancer of this name"),
            ({"zone_id": ""}, "missing: cloudflare_lb.zone_id"),
            ({"account_id": "0" * 32}, "10000 Authentication error"),
        ],
    )
    def test_wrong_options_are_named(
        self, cloudflare: VendorServer, act: Act, api: dict[str, str], says: str
    ) -> None:
        failed = act("cdn_failover", **cloudflare_options(cloudflare, api=api))
        assert says in failed["msg"]
        assert not writes(cloudflare)

    def test_an_answer_of_200_may_be_a_refusal(self, cloudflare: VendorServer, act: Act) -> None:
        original = cloudflare.vendor._dispatch

        def dispatch(request: Any) -> Any:
            answer = original(request)
            if request.method != "PATCH":
                return answer
            said = {"success": False, "errors": [{"code": 1002, "message": "validation failed"}]}
            return type(answer)(200, said)

        cloudflare.vendor._dispatch = dispatch  # type: ignore[method-assign]
        failed = act("cdn_failover", **cloudflare_options(cloudflare))
        # It was carried out all the same here, so what is set decides.
        assert not failed.get("failed")
