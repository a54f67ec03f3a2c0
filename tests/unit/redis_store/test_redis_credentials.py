"""Whether Redis takes the login of a service: as it runs, and as its file has it; never told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.redis import address, credentials
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.ceiling import (
    measure_ceiling,
    safe_maxmemory,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Login
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.credentials import measure_credentials
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.docker import DockerProvider

from runbook.rehearsal.redis_server import RedisServer

WRONG = "redis://:canary-of-yesterday@redis:6379/0"


class Running:
    """A service with this environment."""

    kind = "compose"

    def __init__(self, url: str | None) -> None:
        self.url = url

    def read_environment(self) -> dict[str, str]:
        """Return what it runs with."""
        return {} if self.url is None else {"REDIS_URL": self.url}


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (("right", "right"), ("ok", "")),
        ((WRONG, "right"), ("fail", "recreate")),
        ((None, "right"), ("fail", "recreate")),
        ((WRONG, WRONG), ("fail", "settings")),
        (("right", WRONG), ("fail", "settings")),
        ((WRONG, "not a url"), ("fail", "settings")),
        (("redis://redis:6379", "right"), ("fail", "recreate")),
    ],
)
def test_what_would_help_is_told_and_no_password(
    redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    places: tuple[str | None, str],
    said: tuple[str, str],
) -> None:
    runs_with, in_file = places
    right = f"redis://:{redis.password}@redis:6379/0"
    known: dict[Any, Any] = {"right": right}
    (tmp_path / ".env").write_text(f"REDIS_URL={known.get(in_file, in_file)}\n")
    service = Running(known.get(runs_with, runs_with))
    monkeypatch.setattr(credentials, "choose_provider", lambda _runtime, timeout: service)
    runtime = {"kind": "compose", "name": "api", "project_dir": str(tmp_path), "env_file": ".env"}
    client = {"name": "api", "part": "api", "runtime": runtime, "setting": "REDIS_URL"}
    server = Login("127.0.0.1", redis.port, password=redis.password)
    (found,) = measure_credentials([client], server, 1.0)
    assert (found["status"], found["observed"]["remedy"]) == said
    assert redis.password not in str(found)
    assert "canary-of-yesterday" not in str(found)


class Engine(DockerProvider):
    """A container engine that knows one container."""

    def __init__(self, networks: dict[str, Any]) -> None:
        super().__init__("redis", timeout=1)
        self._networks = networks

    def _inspect(self) -> dict[str, Any]:
        return {"NetworkSettings": {"Networks": self._networks}}


def test_a_port_that_is_not_published_is_reached_at_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    params = {
        "login_host": "", "login_port": 6379, "login_password": "canary-x",
        "runtime": {"kind": "docker", "name": "redis"},
    }  # fmt: skip
    engine = Engine({"none": {"IPAddress": ""}, "own": {"IPAddress": "172.20.0.3"}})
    monkeypatch.setattr(address, "choose_provider", lambda _runtime, timeout: engine)
    assert address.login_of(params).address == "172.20.0.3:6379"
    assert address.login_of({**params, "login_host": "10.0.0.1"}).address == "10.0.0.1:6379"
    assert address.login_of({**params, "runtime": None}).address == "127.0.0.1:6379"
    monkeypatch.setattr(address, "choose_provider", lambda _runtime, timeout: Engine({}))
    with pytest.raises(RedisError, match="does not run") as caught:
        address.login_of(params)
    assert caught.value.kind == "refused"


def test_the_least_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text("0::/system.slice/docker-abc.scope\n")
    group = tmp_path / "sys/fs/cgroup/system.slice/docker-abc.scope"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("268435456\n")
    root = str(tmp_path)
    assert measure_ceiling(7, 0, 8 << 30, root).describe() == "256.0 MiB (limit of its container)"
    (group / "memory.max").write_text("max\n")
    assert measure_ceiling(7, 0, 8 << 30, root).source == "memory of the host"
    (group.parent / "memory.max").write_text(f"{64 << 20}\n")
    assert measure_ceiling(7, 0, 8 << 30, root).bytes == 64 << 20
    assert measure_ceiling(7, 32 << 20, 8 << 30, root).source == "declared in the inventory"
    assert measure_ceiling(0, 0, 0, root).bytes == 0
    assert safe_maxmemory(64 << 20) == 48 << 20


def test_the_limit_of_the_older_groups_counts_too(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text("9:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n")
    group = tmp_path / "sys/fs/cgroup/memory/docker/abc"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("134217728\n")
    assert measure_ceiling(7, 0, 8 << 30, str(tmp_path)).bytes == 128 << 20
    (group / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert measure_ceiling(7, 0, 8 << 30, str(tmp_path)).source == "memory of the host"
