"""AWS keeps the old version itself: it is found again, put back, and forgotten after a breach."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from ansible_collections.oncall.runbooks.plugins.action.secret_rotate import ActionModule
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.aws_secret import AwsSecret
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.checks import Check
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.rotate import Rotation
from token_service import OLD, Service

from runbook.rehearsal.s3_server import S3Server

REGION = "eu-central-1"
Make = Callable[..., Rotation]


@pytest.fixture
def access(s3: S3Server) -> dict[str, str]:
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    return {"endpoint_url": s3.endpoint, "region": REGION, "profile": "", "session_token": "", **keys}


@pytest.fixture
def client(s3: S3Server) -> Any:
    return boto3.client(
        "secretsmanager",
        endpoint_url=s3.endpoint,
        region_name=REGION,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
    )


@pytest.fixture(params=["", "jwt"], ids=["whole", "one key"])
def where(request: pytest.FixtureRequest, access: dict[str, str], client: Any) -> dict[str, str]:
    """A secret, alone or under one key of an object."""
    key: str = request.param
    name = "secret-" + uuid.uuid4().hex[:8]
    content = json.dumps({"jwt": OLD, "other": "stays"}) if key else OLD
    client.create_secret(Name=name, SecretString=content)
    return {**access, "kind": "aws_secrets_manager", "secret_id": name, "key": key}


@pytest.fixture
def aws_service(where: dict[str, str]) -> Iterator[Service]:
    """A service that reads its secret from AWS when it starts."""
    running = Service(lambda: AwsSecret(where).current() or "")
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def aws_rotation(where: dict[str, str], aws_service: Service, rotation: Make) -> Make:
    checks = [Check(aws_service.url, claims={"sub": "probe"})]
    return lambda **more: rotation(destination=AwsSecret(where), consumers=aws_service, checks=checks, **more)


def test_over_and_back(
    where: dict[str, str], client: Any, aws_rotation: Make, aws_service: Service, tmp_path: Path
) -> None:
    aws_rotation().rotate(64, check_mode=True)
    assert AwsSecret(where).current() == OLD
    done = aws_rotation().rotate(64, check_mode=False)
    new = AwsSecret(where).current()
    assert new is not None
    assert (len(new), aws_service.secret) == (64, new)
    assert new not in json.dumps(done)
    assert not (tmp_path / "private").exists(), "AWS keeps it, so nobody else has to"
    if where["key"]:
        stored = json.loads(client.get_secret_value(SecretId=where["secret_id"])["SecretString"])
        assert stored["other"] == "stays"
    back = aws_rotation().take_back(done["undo"]["args"]["receipt"], check_mode=False)
    assert back["verified"][0]["good"] == "accepted"
    assert AwsSecret(where).current() == OLD


def test_a_breach_takes_the_label_from_the_old_version(
    where: dict[str, str], client: Any, aws_rotation: Make
) -> None:
    aws_rotation(breach=True).rotate(64, check_mode=False)
    stages = client.list_secret_version_ids(SecretId=where["secret_id"])["Versions"]
    assert sorted(stage for version in stages for stage in version["VersionStages"]) == ["AWSCURRENT"]


def test_a_failed_rotation_moves_the_stage_back(
    where: dict[str, str], aws_rotation: Make, aws_service: Service
) -> None:
    aws_service.stale = True
    with pytest.raises(OncallError, match="The old secret is back"):
        aws_rotation().rotate(64, check_mode=False)
    assert AwsSecret(where).current() == OLD


def test_an_undo_does_not_undo_what_came_later(
    where: dict[str, str], client: Any, aws_rotation: Make
) -> None:
    done = aws_rotation().rotate(64, check_mode=False)
    later = json.dumps({"jwt": "canary-later"}) if where["key"] else "canary-later"
    client.put_secret_value(SecretId=where["secret_id"], SecretString=later)
    with pytest.raises(OncallError, match="changed again since"):
        aws_rotation().take_back(done["undo"]["args"]["receipt"], check_mode=False)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"secret_id": "nope"}, "correct the name, the account or the region"),
        ({"secret_id": ""}, "set destination.secret_id"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "check endpoint_url"),
    ],
)
def test_what_is_wrong_is_named(
    access: dict[str, str], service: Service, changed: dict[str, str], says: str
) -> None:
    destination = {**access, "kind": "aws_secrets_manager", "secret_id": "x", **changed}
    arguments = {
        "destination": destination,
        "services": [],
        "verify": [{"url": service.url, "claims": {"sub": "probe"}}],
    }
    task = SimpleNamespace(args=arguments, async_val=0, check_mode=False, action="secret_rotate")
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
    result = ActionModule(task, connection, None, None, None, None).run(task_vars={})
    assert result["failed"]
    assert result["left_unchanged"]
    assert says in result["msg"]
    assert access["secret_key"] not in str(result)
