"""A target group keeps serving while its targets change: new ones are healthy before old ones leave."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.elbv2 import TargetGroup
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.failover import Wish, switch
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from edge_servers import Act, probe

from runbook.rehearsal.s3_server import S3Server
from runbook.rehearsal.vendors.base import Answer, Request, Route, Vendor, VendorServer

REGION = "eu-central-1"
OLD, NEW = "10.0.0.1:80", "10.0.0.2:80"


@pytest.fixture
def access(s3: S3Server) -> dict[str, str]:
    return {
        "endpoint_url": s3.endpoint,
        "region": REGION,
        "access_key": s3.access_key,
        "secret_key": s3.secret_key,
    }


@pytest.fixture
def client(s3: S3Server) -> Callable[[str], Any]:
    def make(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=s3.endpoint,
            region_name=REGION,
            aws_access_key_id=s3.access_key,
            aws_secret_access_key=s3.secret_key,
        )

    return make


@pytest.fixture
def group(client: Callable[[str], Any]) -> dict[str, str]:
    """A target group with the old target in it."""
    vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    name = "tg-" + uuid.uuid4().hex[:8]
    made = client("elbv2").create_target_group(
        Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip"
    )["TargetGroups"][0]
    client("elbv2").register_targets(TargetGroupArn=made["TargetGroupArn"], Targets=[target(OLD)])
    return {"name": name, "arn": made["TargetGroupArn"]}


def target(name: str) -> dict[str, Any]:
    identifier, _, port = name.partition(":")
    return {"Id": identifier, "Port": int(port)}


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def provider(access: dict[str, str], group: str, **changed: Any) -> TargetGroup:
    clock = Clock()
    options = {
        **access,
        "target_group": group,
        "targets": {"primary": [OLD], "standby": [NEW]},
        "healthy_within": 20.0,
        "drained_within": 20.0,
        **changed,
    }
    return TargetGroup(options, clock=clock, sleep=clock.sleep)


def seen(_target: str) -> dict[str, Any]:
    return {"seen": True}


def move(edge: TargetGroup, check_mode: bool = False, **wish: Any) -> dict[str, Any]:
    return switch(edge, Wish(**wish), seen, check_mode=check_mode, keep=lambda undo: None)


def registered(client: Any, arn: str) -> list[str]:
    found = client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return sorted(f"{one['Target']['Id']}:{one['Target']['Port']}" for one in found)


@pytest.mark.parametrize("how", ["name", "arn"])
def test_over_and_back(access: Any, client: Any, group: dict[str, str], how: str) -> None:
    edge = provider(access, group[how])
    planned = move(edge, check_mode=True, primary="primary")
    assert registered(client, group["arn"]) == [OLD]
    done = move(edge, primary="primary")
    assert registered(client, group["arn"]) == [NEW]
    assert planned["diff"] == done["diff"]
    assert move(edge, target="standby")["changed"] is False
    back = move(edge, back=True, before=done["undo"]["args"]["before"])
    assert (back["changed"], registered(client, group["arn"])) == (True, [OLD])


class LoadBalancer(Vendor):
    """What a visitor reaches: it serves from whatever is registered; `ask` says what that is."""

    ask: Callable[[], list[str]]

    def initial(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def _serve(self, request: Request) -> Answer:
        names = {OLD: "primary", NEW: "standby"}
        return Answer(200, {}, {"X-Served-By": ",".join(names[one] for one in self.ask())})

    routes: ClassVar[list[Route]] = [("GET", "/", _serve)]


def test_the_module_proves_from_outside_that_a_target_group_moved(
    access: dict[str, str], client: Any, group: dict[str, str], tmp_path: Path, act: Act
) -> None:
    balancer = LoadBalancer(tmp_path)
    balancer.ask = lambda: registered(client, group["arn"])
    with VendorServer(balancer) as server:
        asked: dict[str, Any] = {
            "provider": "elbv2",
            "primary": "primary",
            "elbv2": {
                **access,
                "target_group": group["arn"],
                "targets": {"primary": [OLD], "standby": [NEW]},
            },
            "probe": probe(server.base_url + "/", within=5.0, timeout=2.0),
        }
        done = act("cdn_failover", **asked)
        assert (done["changed"], done["active"], registered(client, group["arn"])) == (True, "standby", [NEW])
        assert done["proof"]["answered_by"] == {"standby": 3}
        assert act("cdn_failover", **asked)["changed"] is False
        back = act("cdn_failover", state="failed_back", before=done["undo"]["args"]["before"], **asked)
    assert (back["active"], registered(client, group["arn"])) == ("primary", [OLD])
    assert access["secret_key"] not in str([done, back])


class Reluctant(TargetGroup):
    """What moto never says: a new target is not healthy at once, an old one drains."""

    health: dict[str, list[str]]
    calls: list[str]

    def _call(self, what: str, operation: str, **arguments: Any) -> dict[str, Any]:
        self.calls.append(operation)
        return super()._call(what, operation, **arguments)

    def _health(self) -> dict[str, str]:
        found = super()._health()
        for name, words in self.health.items():
            word = words.pop(0) if len(words) > 1 else words[0]
            if word == "draining" or (name in found and word != "gone"):
                found[name] = word
        return found


def reluctant(access: Any, group: dict[str, str], health: dict[str, list[str]]) -> Reluctant:
    clock = Clock()
    options = {
        **access,
        "target_group": group["arn"],
        "targets": {"primary": [OLD], "standby": [NEW]},
        "healthy_within": 20.0,
        "drained_within": 20.0,
    }
    edge = Reluctant(options, clock=clock, sleep=clock.sleep)
    edge.health, edge.calls = health, []
    return edge


def test_the_new_target_is_healthy_before_the_old_one_leaves(
    access: Any, client: Any, group: dict[str, str]
) -> None:
    edge = reluctant(
        access, group, {NEW: ["initial", "initial", "healthy"], OLD: ["healthy"] * 4 + ["draining", "gone"]}
    )
    move(edge, target="standby")
    changes = [c for c in edge.calls if c != "describe_target_health"]
    assert changes == ["register_targets", "deregister_targets"]
    between = edge.calls[edge.calls.index("register_targets") : edge.calls.index("deregister_targets")]
    assert between.count("describe_target_health") >= 2
    assert registered(client, group["arn"]) == [NEW]


def test_a_target_that_never_gets_healthy_leaves_everything_as_it_was(
    access: Any, client: Any, group: dict[str, str]
) -> None:
    edge = reluctant(access, group, {NEW: ["unhealthy"], OLD: ["healthy"]})
    with pytest.raises(OncallError, match=r"10.0.0.2:80 is unhealthy.*Traffic is as it was before") as caught:
        move(edge, target="standby")
    assert caught.value.changed is False
    assert registered(client, group["arn"]) == [OLD]


def test_a_registered_target_that_is_ill_is_refused(access: Any, client: Any, group: dict[str, str]) -> None:
    client("elbv2").register_targets(TargetGroupArn=group["arn"], Targets=[target(NEW)])
    edge = reluctant(access, group, {NEW: ["unhealthy"], OLD: ["healthy"]})
    with pytest.raises(OncallError, match="standby is NOT healthy"):
        move(edge, target="standby")
    assert registered(client, group["arn"]) == [OLD, NEW]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"target_group": "nope"}, "correct the name, the account or the region"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "check endpoint_url"),
        ({"region": ""}, "set region"),
        ({"targets": {}}, "set elbv2.target_group"),
        ({"targets": {"standby": ["web"]}}, "not ID:PORT"),
    ],
)
def test_what_is_wrong_is_named(
    access: Any, group: dict[str, str], changed: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(OncallError, match="Next: ") as caught:
        move(
            provider({**access, **changed}, changed.get("target_group", group["arn"]), **changed),
            target="standby",
        )
    assert says in caught.value.message
    assert access["secret_key"] not in caught.value.message
