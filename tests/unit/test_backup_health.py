"""`backup_health`: what it reports, for real buckets and for everything that stands in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.action.backup_health import ActionModule
from backup_samples import EMPTY_GZIP, PATTERN, gzip_dump, hours_ago, name

from runbook.rehearsal.processes import free_port
from runbook.rehearsal.s3_server import S3Server

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "canary-token-of-the-session"


def measure(**arguments: Any) -> dict[str, Any]:
    """Run the action plugin as a task in check mode would."""
    task = SimpleNamespace(args=arguments, async_val=0, check_mode=True, action="backup_health")
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
    action = ActionModule(task, connection, None, None, None, None)
    result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "db1"})
    return result


def arguments(server: S3Server, bucket: str, /, **changes: Any) -> dict[str, Any]:
    made = {
        "endpoint_url": server.endpoint,
        "bucket": bucket,
        "prefix": "postgres/",
        "pattern": PATTERN,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
    }
    return {**made, **changes}


def put(server: S3Server, bucket: str, *, age: float, content: bytes, system: str = "roost_prod") -> str:
    key = name(hours_ago(age), system)
    server.client().put_object(Bucket=bucket, Key=key, Body=content)
    return key


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {f["check"]: f["status"] for f in result["findings"]}


def test_a_healthy_bucket_is_ok(any_s3: S3Server, any_bucket: str) -> None:
    for day in (3, 2, 1):
        newest = put(any_s3, any_bucket, age=24 * day, content=gzip_dump(seed=day))
    result = measure(**arguments(any_s3, any_bucket))
    assert statuses(result) == dict.fromkeys(
        ("backup_newest", "backup_age", "backup_size_trend", "backup_rejected"), "ok"
    )
    assert {f["host"] for f in result["findings"]} == {"db1"}
    assert result["backup"]["key"] == newest
    assert result["backup"]["age_hours"] == pytest.approx(24, abs=0.1)
    assert result["backup"]["dump"]["server_version"] == "15.13"
    assert [c["verdict"] for c in result["candidates"]] == ["chosen", "good", "good"]
    assert result["changed"] is False


@pytest.mark.parametrize(("age", "limit", "status"), [(25, 26, "ok"), (27, 26, "fail"), (27, 30, "ok")])
def test_the_age_is_held_against_the_limit(
    s3: S3Server, bucket: str, age: float, limit: float, status: str
) -> None:
    put(s3, bucket, age=age, content=gzip_dump())
    result = measure(**arguments(s3, bucket, max_age_hours=limit))
    aged = next(f for f in result["findings"] if f["check"] == "backup_age")
    assert (aged["status"], aged["expected"]) == (status, limit)
    assert f"{age}.0 h old" in aged["summary"]


def test_last_nights_empty_dump_is_an_alarm_and_not_the_choice(any_s3: S3Server, any_bucket: str) -> None:
    good = put(any_s3, any_bucket, age=25, content=gzip_dump())
    empty = put(any_s3, any_bucket, age=1, content=EMPTY_GZIP)
    stranger = put(any_s3, any_bucket, age=0.5, content=gzip_dump(), system="rolerabbit")
    result = measure(**arguments(any_s3, any_bucket))
    assert statuses(result) == {
        "backup_newest": "warn",
        "backup_age": "ok",
        "backup_size_trend": "fail",
        "backup_rejected": "warn",
    }
    assert result["backup"]["key"] == good
    reasons = {row["key"]: row["reason"] for row in result["findings"][3]["details"]}
    assert set(reasons) == {empty, stranger}
    summaries = {found["check"]: found["summary"] for found in result["findings"]}
    # Described once; whoever reads the other two is sent there.
    assert [check for check, text in summaries.items() if reasons[empty] in text] == ["backup_rejected"]
    assert empty in summaries["backup_rejected"]
    for check in ("backup_newest", "backup_size_trend"):
        assert summaries[check].endswith("see backup_rejected.")
    assert "20 B" in reasons[empty]
    assert "not a backup of this system" in reasons[stranger]


def test_an_empty_bucket_fails(any_s3: S3Server, any_bucket: str) -> None:
    result = measure(**arguments(any_s3, any_bucket))
    assert statuses(result) == {
        "backup_newest": "fail",
        "backup_age": "fail",
        "backup_size_trend": "unknown",
        "backup_rejected": "ok",
    }
    assert result["backup"] == {}


def test_before_chooses_the_older_one_but_the_age_is_that_of_the_newest(s3: S3Server, bucket: str) -> None:
    older = put(s3, bucket, age=30, content=gzip_dump(seed=1))
    put(s3, bucket, age=6, content=gzip_dump(seed=2))
    moment = hours_ago(10).isoformat()
    result = measure(**arguments(s3, bucket, before=moment))
    assert result["backup"]["key"] == older
    assert statuses(result)["backup_age"] == "ok"
    assert statuses(result)["backup_newest"] == "ok"


@pytest.mark.parametrize(
    ("changes", "status", "observed"),
    [
        ({"endpoint_url": "https://.r2.cloudflarestorage.com"}, "fail", "endpoint"),
        ({"bucket": "no-such-bucket"}, "fail", "bucket_missing"),
        ({"bucket": ""}, "fail", "usage"),
        ({"pattern": "roost.*"}, "fail", "usage"),
        ({"pattern": "roost(?P<timestamp>"}, "fail", "usage"),
        ({"timestamp_format": "%Q"}, "fail", "usage"),
        ({"before": "yesterday"}, "fail", "usage"),
        ({"endpoint_url": "nothing listens"}, "unknown", "unreachable"),
    ],
)
def test_what_stands_in_the_way_is_a_finding_and_never_ok(
    s3: S3Server, bucket: str, changes: dict[str, Any], status: str, observed: str
) -> None:
    if changes.get("endpoint_url") == "nothing listens":
        changes = {"endpoint_url": f"http://127.0.0.1:{free_port()}"}
    result = measure(**arguments(s3, bucket, **changes))
    assert not result.get("failed")
    assert result["findings"][0]["observed"] == observed
    assert result["findings"][0]["summary"].startswith("Could not ")
    assert statuses(result) == {
        "backup_newest": status,
        "backup_age": "unknown",
        "backup_size_trend": "unknown",
        "backup_rejected": "unknown",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bukket": "x"}, "bukket"),
        ({"min_size": "many"}, "min_size"),
        ({"pattern": None}, "pattern"),
    ],
)
def test_wrong_options_fail_by_name(s3: S3Server, changes: dict[str, Any], message: str) -> None:
    given = {k: v for k, v in arguments(s3, "b", **changes).items() if v is not None}
    result = measure(**given)
    assert result["failed"]
    assert message in result["msg"]
    assert s3.secret_key not in json.dumps(result)


def test_no_secret_is_in_the_result(s3: S3Server, bucket: str) -> None:
    result = measure(**arguments(s3, bucket, session_token=SECRET))
    shown = json.dumps(result)
    assert SECRET not in shown
    assert s3.secret_key not in shown
    assert s3.access_key not in shown
    assert result["invocation"]["module_args"]["secret_key"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert result["invocation"]["module_args"]["bucket"] == bucket


def test_a_real_play_measures_in_check_mode_and_shows_no_secret(
    any_s3: S3Server, any_bucket: str, tmp_path: Path
) -> None:
    key = put(any_s3, any_bucket, age=2, content=gzip_dump())
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [
                {
                    "name": "Look for a backup",
                    "oncall.runbooks.backup_health": arguments(
                        any_s3, any_bucket, secret_key="{{ lookup('env', 'CANARY') }}"
                    ),
                    "register": "measured",
                },
                {"name": "Show it", "ansible.builtin.debug": {"msg": "took {{ measured.backup.key }}"}},
            ],
        }
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps(play))
    configuration = tmp_path / "ansible.cfg"
    configuration.touch()
    environment = {
        **os.environ,
        "CANARY": any_s3.secret_key,
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path),
    }
    command = [
        sys.executable,
        "-m",
        "ansible",
        "playbook",
        "-i",
        "localhost,",
        "--check",
        "-vvv",
        str(playbook),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"took {key}" in done.stdout
    assert any_s3.secret_key not in done.stdout + done.stderr
    assert any_s3.access_key not in done.stdout.replace("CANARYKEY_", "") + done.stderr
