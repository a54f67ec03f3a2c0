"""What is changed on a real Redis, predicted first, and what is refused because it would cost keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.configure import configure
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.role import set_role
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.save import save
from stranger import stranger

from runbook.rehearsal.processes import free_port
from runbook.rehearsal.redis_server import RedisServer

MIB = 1 << 20


def settings(options: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Options of redis_configure, nothing set."""
    plain = {"maxmemory": None, "maxmemory_policy": None, "maxclients": None, "undone": False}
    return {**options, **plain, "memory_limit": 128 * MIB, **changed}


def role(options: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Options of redis_role."""
    plain = {"state": "primary", "confirm": False, "primary_host": None, "primary_port": None, "keep_dir": ""}
    return {**options, **plain, "save_timeout": 10.0, **changed}


def setting(redis: RedisServer, name: str) -> str:
    """Ask the server itself."""
    return str(redis.call("CONFIG", "GET", name)[name])


@pytest.fixture
def full(redis: RedisServer) -> RedisServer:
    """A server that refuses writes, with a queue in it."""
    redis.call("RPUSH", "jobs", "a", "b", "c")
    redis.call("SET", "big", "x" * 4_000_000)
    redis.call("CONFIG", "SET", "maxmemory", 2 * MIB)
    return redis


def test_more_memory_is_predicted_done_kept_and_taken_back(
    full: RedisServer, options: dict[str, Any]
) -> None:
    params = settings(options, maxmemory="auto", queues=["jobs"])
    planned = configure(params, check_mode=True)
    assert setting(full, "maxmemory") == str(2 * MIB)
    done = configure(params, check_mode=False)
    assert setting(full, "maxmemory") == str(96 * MIB)
    assert planned["diff"] == done["diff"]
    assert done["persisted"]["persisted"] is True
    assert f"maxmemory {96 * MIB}" in full.config.read_text().replace("96mb", str(96 * MIB))
    assert done["keys"]["after"]["queues"] == {"jobs": 3}
    assert done["keys"]["fewer"] == []
    assert configure(params, check_mode=False)["changed"] is False
    back = configure(settings(options, undone=True, **done["undo"]["args"]), check_mode=False)
    assert back["changed"] is True
    assert setting(full, "maxmemory") == str(2 * MIB)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("127mb", "leaves room for a snapshot"),
        ("3mb", "are used already"),
        ("lots", "is no size"),
        ("-1", "is no size"),
    ],
)
def test_a_limit_that_is_no_help_is_refused(
    full: RedisServer, options: dict[str, Any], asked: str, says: str
) -> None:
    with pytest.raises(OncallError, match=says):
        configure(settings(options, maxmemory=asked), check_mode=False)
    assert setting(full, "maxmemory") == str(2 * MIB)


def test_nothing_is_evicted_that_is_more_than_a_cache(full: RedisServer, options: dict[str, Any]) -> None:
    for policy in ("allkeys-lru", "volatile-lru"):
        with pytest.raises(ConflictError, match="more than a cache"):
            configure(settings(options, maxmemory_policy=policy), check_mode=True)
    done = configure(settings(options, maxmemory_policy="allkeys-lru", cache_only=True), check_mode=False)
    assert done["undo"]["args"] == {"maxmemory_policy": "noeviction"}


def test_nothing_to_change_is_a_mistake(redis: RedisServer, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        configure(settings(options), check_mode=False)


def test_a_setting_that_cannot_be_kept_says_so(redis: RedisServer, options: dict[str, Any]) -> None:
    redis.config.rename(redis.config.with_suffix(".away"))
    redis.config.mkdir()
    try:
        done = configure(settings(options, maxclients=150), check_mode=False)
    finally:
        redis.config.rmdir()
        redis.config.with_suffix(".away").rename(redis.config)
    assert done["persisted"]["persisted"] is False
    assert "a restart loses this change" in done["persisted"]["summary"]


def test_a_snapshot_lets_writes_in_again(redis: RedisServer, options: dict[str, Any]) -> None:
    redis.call("SET", "a", "b")
    redis.fail_a_save()
    params = {**options, "save_timeout": 10.0}
    planned = save(params, check_mode=True)
    assert planned["changed"] is True
    assert "snapshot" in blocked(redis)
    save(params, check_mode=False)
    assert blocked(redis) == ""
    assert redis.call("INFO", "persistence")["rdb_last_bgsave_status"] == "ok"


def blocked(redis: RedisServer) -> str:
    """Return what a write is told, empty when it is taken."""
    try:
        redis.call("SET", "a", "c")
    except redis_client.ResponseError as exc:
        return str(exc)
    return ""


def test_a_snapshot_that_fails_again_is_no_success(redis: RedisServer, options: dict[str, Any]) -> None:
    redis.call("SET", "a", "b")
    place = redis.data / "dump.rdb"
    kept = place.with_suffix(".aside")
    place.rename(kept)
    place.mkdir()
    try:
        with pytest.raises(VerificationError, match="it failed"):
            save({**options, "save_timeout": 10.0}, check_mode=False)
    finally:
        place.rmdir()
        kept.rename(place)


def test_a_replica_of_nobody_becomes_a_primary_and_goes_back_with_its_keys_kept(
    redis: RedisServer, options: dict[str, Any], tmp_path: Path
) -> None:
    redis.call("SET", "session:1", "owl")
    nobody = free_port()
    redis.call("REPLICAOF", "127.0.0.1", nobody)
    planned = set_role(role(options), check_mode=True)
    assert redis.call("ROLE")[0] == "slave"
    done = set_role(role(options), check_mode=False)
    assert done["diff"] == planned["diff"]
    assert "nobody listens" in done["proof"]
    assert redis.call("ROLE")[0] == "master"
    assert redis.call("GET", "session:1") == "owl"
    assert set_role(role(options), check_mode=False)["changed"] is False
    assert done["undo"]["args"] == {"host": "127.0.0.1", "port": nobody}
    back = role(
        options, state="replica", primary_host="127.0.0.1", primary_port=nobody, keep_dir=str(tmp_path / "k")
    )
    (kept,) = set_role(back, check_mode=False)["evidence"]
    assert redis.call("ROLE")[0] == "slave"
    assert Path(kept["path"]).read_bytes()[:5] == b"REDIS"
    assert Path(kept["path"]).stat().st_mode & 0o077 == 0


@pytest.fixture
def other(redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A second server with the same password: the real primary."""
    made = RedisServer(redis.binary, tmp_path / "other", password=redis.password)
    made.start()
    yield made
    redis.call("REPLICAOF", "NO", "ONE")
    made.stop()


def test_no_second_primary_is_made_while_the_first_one_lives(
    redis: RedisServer, other: RedisServer, options: dict[str, Any]
) -> None:
    redis.call("REPLICAOF", "127.0.0.1", other.port)
    with pytest.raises(ConflictError, match=r"a Redis answers there|link to it is up") as caught:
        set_role(role(options), check_mode=False)
    assert "redis_confirm_primary" in caught.value.next_step
    assert redis.call("ROLE")[0] == "slave"
    assert set_role(role(options, confirm=True), check_mode=False)["changed"] is True


@pytest.mark.parametrize(
    "says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-NOAUTH Authentication required.\r\n"]
)
def test_whatever_takes_connections_there_may_be_the_primary(
    redis: RedisServer, options: dict[str, Any], says: bytes
) -> None:
    with stranger(says) as port:
        redis.call("REPLICAOF", "127.0.0.1", port)
        with pytest.raises(ConflictError, match="something listens there"):
            set_role(role(options), check_mode=True)


def test_a_snapshot_that_cannot_be_kept_stops_the_way_back(
    redis: RedisServer, options: dict[str, Any], tmp_path: Path
) -> None:
    back = role(
        options, state="replica", primary_host="127.0.0.1", primary_port=1, keep_dir=str(tmp_path / "k"),
        data_path=str(tmp_path / "elsewhere"),
    )  # fmt: skip
    with pytest.raises(OncallError, match="nothing was changed"):
        set_role(back, check_mode=False)
    assert redis.call("ROLE")[0] == "master"
