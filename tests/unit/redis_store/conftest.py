"""Real servers of Redis, one of each kind of this machine per test process; each test gets an empty one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.health import THRESHOLDS

from runbook.rehearsal.redis_server import DEFAULTS, RedisBinary, RedisServer, available_redis


@pytest.fixture(scope="session", params=available_redis(), ids=lambda binary: binary.label)
def _server(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[RedisServer]:
    binary: RedisBinary = request.param
    made = RedisServer(binary, server_folder / f"redis-{binary.label}-{uuid.uuid4().hex[:6]}")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def redis(_server: RedisServer) -> RedisServer:
    """A running server without keys, with the settings of its file."""
    if not _server.running:
        _server.start()
    _server.call("REPLICAOF", "NO", "ONE")
    for name in ("maxmemory", "maxmemory-policy", "maxclients"):
        _server.call("CONFIG", "SET", name, DEFAULTS[name])
    _server.call("CONFIG", "RESETSTAT")
    _server.call("SAVE")
    _server.call("FLUSHALL")
    return _server


@pytest.fixture
def options(redis: RedisServer) -> dict[str, Any]:
    """The options of redis_health for this server, every default filled in."""
    return {
        "login_host": "127.0.0.1", "login_port": redis.port, "login_user": "",
        "login_password": redis.password,
        "login_unix_socket": "", "tls": False, "ca_cert": "", "runtime": None, "data_path": str(redis.data),
        "expected_role": "primary", "cache_only": False, "queues": [], "clients": [], "memory_limit": 0,
        "checks": [], "timeout": 1.0, "wait": 0.0, "thresholds": dict(THRESHOLDS),
    }  # fmt: skip
