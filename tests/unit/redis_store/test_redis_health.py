"""What a real Redis in each kind of trouble is found to have: PONG alone says nothing."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Login, session
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.health import measure_health
from stranger import stranger

from runbook.rehearsal.processes import free_port
from runbook.rehearsal.redis_server import RedisServer

SERVER = [
    "redis_answers", "redis_writes", "redis_memory", "redis_persistence", "redis_role", "redis_clients",
    "redis_latency", "redis_keys",
]  # fmt: skip


def found(options: dict[str, Any], **changed: Any) -> dict[str, dict[str, Any]]:
    """Measure and return the findings of the server by check."""
    return {f["check"]: f for f in measure_health({**options, "checks": SERVER, **changed})}


def failing(findings: dict[str, dict[str, Any]]) -> list[str]:
    """Return the checks that fail."""
    return [check for check, finding in findings.items() if finding["status"] == "fail"]


def leave(*connections: Any) -> None:
    """Give connections back."""
    for connection in connections:
        connection.disconnect()


def test_a_healthy_server_has_nothing_wrong_and_keeps_no_key_of_ours(
    redis: RedisServer, options: dict[str, Any]
) -> None:
    redis.call("RPUSH", "queue:mail", "a", "b")
    findings = found(options, queues=["queue:mail", "queue:none"])
    assert [f["status"] for f in findings.values()] == ["ok"] * len(SERVER), findings
    assert findings["redis_answers"]["observed"]["version"] == redis.binary.version
    assert findings["redis_keys"]["observed"]["queues"] == {"queue:mail": 2, "queue:none": 0}
    assert redis.call("KEYS", "*") == ["queue:mail"]
    assert redis.password not in str(findings)


@pytest.mark.parametrize(("password", "kind"), [("", "auth_required"), ("canary-wrong", "wrong_password")])
def test_a_refused_login_is_a_failure_not_an_answer(
    redis: RedisServer, options: dict[str, Any], password: str, kind: str
) -> None:
    findings = found(options, login_password=password)
    assert failing(findings) == ["redis_answers"]
    assert findings["redis_answers"]["observed"]["kind"] == kind
    assert findings["redis_memory"]["status"] == "unknown"
    assert "canary-wrong" not in str(findings)


def test_a_server_that_lost_its_password_is_told_from_a_healthy_one(
    redis: RedisServer, options: dict[str, Any]
) -> None:
    redis.call("CONFIG", "SET", "requirepass", "")
    try:
        findings = found(options)
    finally:
        with session(Login("127.0.0.1", redis.port), timeout=3) as client:
            client.call("CONFIG", "SET", "requirepass", redis.password)
    assert findings["redis_answers"]["observed"]["kind"] == "no_password_set"


def test_full_without_eviction_refuses_writes_while_ping_answers(
    redis: RedisServer, options: dict[str, Any]
) -> None:
    redis.call("SET", "big", "x" * 4_000_000)
    redis.call("CONFIG", "SET", "maxmemory", "2mb")
    findings = found(options, memory_limit=64 << 20)
    assert failing(findings) == ["redis_writes", "redis_memory"]
    assert findings["redis_writes"]["observed"]["kind"] == "oom"
    assert findings["redis_memory"]["observed"]["raise_to"] == 48 << 20
    assert findings["redis_answers"]["status"] == "ok"


def test_a_full_cache_that_evicts_is_only_a_warning(redis: RedisServer, options: dict[str, Any]) -> None:
    redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    redis.call("SET", "big", "x" * 4_000_000)
    redis.call("CONFIG", "SET", "maxmemory", "7mb" if redis.binary.label != "wheel" else "6mb")
    findings = found(options, cache_only=True)
    assert findings["redis_memory"]["status"] in ("ok", "warn")
    assert findings["redis_writes"]["status"] == "ok"


def test_a_snapshot_that_failed_stops_writes_while_ping_answers(
    redis: RedisServer, options: dict[str, Any]
) -> None:
    redis.fail_a_save()
    findings = found(options)
    assert failing(findings) == ["redis_writes", "redis_persistence"]
    assert findings["redis_writes"]["observed"]["kind"] == "misconf"
    assert findings["redis_persistence"]["observed"]["blocks_writes"] is True


def test_an_accidental_replica_is_found_by_write_and_role(
    redis: RedisServer, options: dict[str, Any]
) -> None:
    nobody = free_port()
    redis.call("REPLICAOF", "127.0.0.1", nobody)
    findings = found(options)
    assert failing(findings) == ["redis_writes", "redis_role"]
    assert findings["redis_writes"]["observed"]["kind"] == "readonly"
    assert findings["redis_role"]["observed"]["follows"] == {"host": "127.0.0.1", "port": nobody}


def test_a_server_without_room_for_us_is_told_by_name(redis: RedisServer, options: dict[str, Any]) -> None:
    redis.call("CONFIG", "SET", "maxclients", 12)
    crowd = redis.crowd()
    try:
        findings = found(options)
    finally:
        leave(*crowd)
    assert failing(findings) == ["redis_answers"]
    assert findings["redis_answers"]["observed"]["kind"] == "maxclients"


def test_connections_that_are_nearly_all_taken_fail_before_nobody_gets_in(
    redis: RedisServer, options: dict[str, Any]
) -> None:
    redis.call("CONFIG", "SET", "maxclients", 60)
    crowd = redis.crowd()
    leave(crowd.pop(), crowd.pop(), crowd.pop())
    try:
        findings = found(options)
    finally:
        leave(*crowd)
    assert failing(findings) == ["redis_clients"]


def test_a_frozen_server_fails_in_time(redis: RedisServer, options: dict[str, Any]) -> None:
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        findings = found(options, timeout=0.3)
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    assert findings["redis_answers"]["observed"]["kind"] == "timeout"


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"$99999999999\r\n", b"*x\r\n"])
def test_whatever_is_no_redis_is_said_to_be_none(options: dict[str, Any], says: bytes) -> None:
    with stranger(says) as port:
        findings = found(options, login_port=port)
    assert failing(findings) == ["redis_answers"]
    assert findings["redis_answers"]["observed"]["kind"] == ("not_redis" if says else "unreachable")


def test_nobody_listens(options: dict[str, Any]) -> None:
    findings = found(options, login_port=free_port())
    assert findings["redis_answers"]["observed"]["kind"] == "refused"
    assert "start it" in findings["redis_answers"]["summary"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "master_down"),
        (b"-BUSY Redis is busy running a script.\r\n", "busy"),
        (b"-NOPERM this user has no permissions\r\n", "no_permission"),
        (b"-DENIED Redis is running in protected mode\r\n", "protected_mode"),
        (b"-NOREPLICAS Not enough good replicas to write.\r\n", "no_replicas"),
        (b"-ERR something new\r\n", "error"),
    ],
)
def test_each_refusal_has_a_word(reply: bytes, kind: str) -> None:
    with (
        stranger(reply) as port,
        pytest.raises(RedisError) as caught,
        session(Login("127.0.0.1", port), timeout=1) as client,
    ):
        client.call("PING")
    assert caught.value.kind == kind


def test_waiting_ends_as_soon_as_nothing_fails(redis: RedisServer, options: dict[str, Any]) -> None:
    redis.call("REPLICAOF", "127.0.0.1", free_port())
    threading.Timer(0.5, lambda: redis.call("REPLICAOF", "NO", "ONE")).start()
    assert failing(found(options, wait=5.0)) == []
