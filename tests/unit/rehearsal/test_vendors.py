"""The stand-ins of Cloudflare and Hetzner refuse what the vendors refuse."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from runbook.rehearsal.vendors.base import VendorServer
from runbook.rehearsal.vendors.cloudflare import Cloudflare
from runbook.rehearsal.vendors.hetzner import Hetzner


@pytest.fixture
def cloudflare(tmp_path: Path) -> Iterator[VendorServer]:
    with VendorServer(Cloudflare(tmp_path)) as server:
        yield server


@pytest.fixture
def hetzner(tmp_path: Path) -> Iterator[VendorServer]:
    with VendorServer(Hetzner(tmp_path)) as server:
        yield server


def ask(server: VendorServer, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
    """Send one request; return status and body. `token` "" sends none, None the right one."""
    token = server.vendor.state["token"] if token is None else token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.base_url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def balancer(server: VendorServer) -> str:
    state = server.vendor.state
    return f"/zones/{state['zone_id']}/load_balancers/{state['balancers'][0]['id']}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"default_pool": []}, 1002),
        ({"default_pools": []}, 1002),
        ({"default_pools": ["0" * 32]}, 1002),
        ({"enabled": "yes"}, 1002),
        ([1], 1002),
    ],
)
def test_cloudflare_refuses_and_changes_nothing(cloudflare: VendorServer, body: Any, code: int) -> None:
    before = json.dumps(cloudflare.vendor.state)
    status, told = ask(cloudflare, "PATCH", balancer(cloudflare), body)
    assert (status, told["success"], told["errors"][0]["code"]) == (400, False, code)
    assert json.dumps(cloudflare.vendor.state) == before


def test_cloudflare_knows_its_tokens_accounts_and_methods(cloudflare: VendorServer) -> None:
    assert ask(cloudflare, "GET", balancer(cloudflare), token="")[0] == 400
    assert ask(cloudflare, "GET", balancer(cloudflare), token="canary-other")[0] == 403
    assert ask(cloudflare, "GET", f"/zones/{'0' * 32}/load_balancers")[0] == 403
    assert ask(cloudflare, "PUT", balancer(cloudflare), {})[0] == 404
    assert ask(cloudflare, "GET", "/edge/www.example.com", token="")[0] == 200


def test_cloudflares_edge_goes_where_the_settings_say(cloudflare: VendorServer) -> None:
    def served() -> str | None:
        with urllib.request.urlopen(cloudflare.base_url + "/edge/www.example.com", timeout=5) as answer:
            return str(answer.headers["X-Served-By"])

    assert served() == "primary"
    cloudflare.vendor.set_health(primary=False)  # type: ignore[attr-defined]
    assert served() == "standby"
    pools = [one["id"] for one in cloudflare.vendor.state["pools"]]
    ask(cloudflare, "PATCH", balancer(cloudflare), {"default_pools": pools[:1], "fallback_pool": pools[0]})
    assert ask(cloudflare, "GET", "/edge/www.example.com")[0] == 530


@pytest.mark.parametrize("body", [{"size": 5}, {"size": 10}, {"size": "20"}, {"size": 20, "x": 1}, {}])
def test_hetzner_refuses_to_shrink_and_what_is_no_size(hetzner: VendorServer, body: Any) -> None:
    status, told = ask(hetzner, "POST", "/v1/volumes/4711/actions/resize", body)
    assert (status, told["error"]["code"]) == (422, "invalid_input")
    assert hetzner.vendor.state["volumes"][0]["size"] == 10


def test_hetzners_actions_take_their_time_and_lock_the_volume(hetzner: VendorServer) -> None:
    status, told = ask(hetzner, "POST", "/v1/volumes/4711/actions/resize", {"size": 20})
    assert (status, told["action"]["status"]) == (201, "running")
    assert ask(hetzner, "POST", "/v1/volumes/4711/actions/resize", {"size": 30})[0] == 423
    assert ask(hetzner, "GET", "/v1/volumes/4711")[1]["volume"]["size"] == 10
    time.sleep(0.25)
    assert ask(hetzner, "GET", f"/v1/actions/{told['action']['id']}")[1]["action"]["status"] == "success"
    assert ask(hetzner, "GET", "/v1/volumes?name=roost-data")[1]["volumes"][0]["size"] == 20


def test_hetzner_knows_its_tokens(hetzner: VendorServer) -> None:
    assert ask(hetzner, "GET", "/v1/volumes", token="")[0] == 401
    assert ask(hetzner, "GET", "/v1/volumes", token="canary-other")[0] == 401
    hetzner.vendor.state["readonly"] = True
    assert ask(hetzner, "GET", "/v1/volumes")[0] == 200
    assert ask(hetzner, "POST", "/v1/volumes/4711/actions/resize", {"size": 20})[0] == 403
    assert ask(hetzner, "GET", "/v1/volumes/1")[0] == 404
