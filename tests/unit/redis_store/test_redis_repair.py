"""A damaged append-only file: copied first, cut at the right byte, started, and all of it put back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.redis import repair as repair_module
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.repair import repair
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider, ServiceState

from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.redis_server import RedisBinary, RedisServer, available_redis


class Down(Provider):
    """A platform on which the server is not running."""

    kind = "systemd"

    def state(self) -> ServiceState:
        return ServiceState(self.kind, self.name, exists=True, running=False, word="dead")

    logs = thaw = restart = None  # type: ignore[assignment]


class Up(Down):
    """A platform on which it runs, and is stopped when told to."""

    def __init__(self, server: RedisServer, timeout: float) -> None:
        super().__init__("redis", timeout=timeout)
        self._server = server

    def state(self) -> ServiceState:
        return ServiceState(self.kind, self.name, exists=True, running=True, word="running")

    def stop(self, *, stop_timeout: float) -> None:
        self._server.stop()


@pytest.fixture(params=available_redis(), ids=lambda binary: binary.label)
def broken(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RedisServer]:
    """A server that is down, and cannot start: the newest part of its append-only file is damaged."""
    binary: RedisBinary = request.param
    server = RedisServer(binary, tmp_path / "r")
    server.start()
    server.call("SET", "old", "in the snapshot")
    server.call("SAVE")
    for number in range(20):
        server.call("SET", f"key:{number}", f"value {number}")
    server.stop()
    server.damage_append_only("key:15")
    monkeypatch.setattr(
        repair_module, "choose_provider", lambda _runtime, timeout: Down("redis", timeout=timeout)
    )
    yield server
    server.stop()


def options(server: RedisServer, tmp_path: Path, **changed: Any) -> dict[str, Any]:
    """Return the module's options."""
    return {
        "login_host": "127.0.0.1", "login_port": server.port, "login_password": server.password,
        "runtime": {"kind": "systemd", "name": "redis"}, "state": "repaired", "source": "aof",
        "data_path": str(server.data), "container_dir": "", "keep_dir": str(tmp_path / "kept"),
        "check_command": [str(server.check_program)], "cache_only": False, "confirm_empty": False,
        "stop_timeout": 3.0, **changed,
    }  # fmt: skip


def picture(server: RedisServer) -> dict[str, str]:
    """Return the checksum of every file of the server."""
    files = (path for path in server.data.rglob("*") if path.is_file())
    return {str(p.relative_to(server.data)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_it_does_not_start_before_and_the_damage_is_what_keeps_it(broken: RedisServer) -> None:
    with pytest.raises(StandInError, match="Bad file format"):
        broken.start()


def test_cut_at_the_damage_started_and_put_back(
    broken: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, params = picture(broken), options(broken, tmp_path)
    planned = repair(params, check_mode=True)
    assert picture(broken) == before
    assert not (tmp_path / "kept").exists()
    done = repair(params, check_mode=False)
    assert done["diff"] == planned["diff"]
    assert {item["name"]: item["sha256"] for item in done["evidence"]} == before
    broken.start()
    assert broken.call("GET", "key:14") == "value 14"
    assert broken.call("GET", "key:15") is None
    broken.call("SET", "later", "kept, too")
    with pytest.raises(ConflictError, match="runs and answers"):
        repair(params, check_mode=False)
    undoing = options(broken, tmp_path, state="undone")
    assert "Redis is stopped, and stays down" in repair(undoing, check_mode=True)["prediction"]["summary"]
    assert broken.answers()
    with pytest.raises(ConflictError, match="runs and answers"):
        repair(undoing, check_mode=False)  # what answers there is not what the platform runs
    monkeypatch.setattr(repair_module, "choose_provider", lambda _runtime, timeout: Up(broken, timeout))
    back = repair(undoing, check_mode=False)
    assert not broken.answers()
    assert picture(broken) == before
    assert any(b"kept, too" in Path(item["path"]).read_bytes() for item in back["evidence"])


def test_the_snapshot_is_what_is_loaded_not_an_empty_server(broken: RedisServer, tmp_path: Path) -> None:
    params = options(broken, tmp_path, source="snapshot")
    assert "since the snapshot" in repair(params, check_mode=True)["prediction"]["data_loss"]
    repair(params, check_mode=False)
    broken.start()
    assert broken.call("GET", "old") == "in the snapshot"
    broken.call("SET", "later", "1")
    broken.stop()
    broken.start()
    assert broken.call("MGET", "old", "later") == ["in the snapshot", "1"]


def test_nothing_is_emptied_that_is_more_than_a_cache(broken: RedisServer, tmp_path: Path) -> None:
    before = picture(broken)
    for changed in ({}, {"cache_only": True}, {"confirm_empty": True}):
        with pytest.raises(ConflictError, match="more than a cache"):
            repair(options(broken, tmp_path, source="empty", **changed), check_mode=False)
    assert picture(broken) == before
    repair(options(broken, tmp_path, source="empty", cache_only=True, confirm_empty=True), check_mode=False)
    broken.start()
    assert broken.call("DBSIZE") == 0


def test_what_is_whole_is_not_cut(broken: RedisServer, tmp_path: Path) -> None:
    repair(options(broken, tmp_path), check_mode=False)
    with pytest.raises(ConflictError, match="it is whole"):
        repair(options(broken, tmp_path), check_mode=True)


def test_a_damaged_snapshot_is_no_way_out(broken: RedisServer, tmp_path: Path) -> None:
    path = broken.data / "dump.rdb"
    content = bytearray(path.read_bytes())
    content[-12] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises((ConflictError, repair_module.OncallError), match=r"damaged|check dump\.rdb"):
        repair(options(broken, tmp_path, source="snapshot"), check_mode=False)
    path.unlink()
    with pytest.raises(UsageError, match="there is none"):
        repair(options(broken, tmp_path, source="snapshot"), check_mode=False)


def test_a_copy_that_somebody_changed_is_not_put_back(
    broken: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repair(options(broken, tmp_path), check_mode=False)
    now = picture(broken)
    (tmp_path / "kept" / "dump.rdb").write_bytes(b"other")
    with pytest.raises(UsageError, match="is not what it was"):
        repair(options(broken, tmp_path, state="undone"), check_mode=False)
    assert picture(broken) == now
    broken.start()
    monkeypatch.setattr(repair_module, "choose_provider", lambda _runtime, timeout: Up(broken, timeout))
    with pytest.raises(UsageError, match="is not what it was"):
        repair(options(broken, tmp_path, state="undone"), check_mode=False)
    assert broken.answers(), "it was stopped for an undo that cannot be"
