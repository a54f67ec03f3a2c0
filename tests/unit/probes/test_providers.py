"""Recorded output of docker and systemctl, replayed by programs of the same name: neither is real."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runtime import measure_runtime
from ansible_collections.oncall.runbooks.plugins.module_utils.service.docker import DockerProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.systemd import SystemdProvider

Install = Callable[[str, str], None]
RUNNING = {
    "Status": "running",
    "Running": True,
    "Pid": 0,
    "StartedAt": "2026-01-01T00:00:00.123456789Z",
    "ExitCode": 0,
}


def container(restarts: int = 0, name: str = "/roost-postgres", **state: Any) -> str:
    """Return what `docker inspect` prints for one container."""
    return json.dumps(
        [{"Id": "f" * 64, "Name": name, "RestartCount": restarts, "State": {**RUNNING, **state}}]
    )


CASES = [
    ("running", container(), "ok", "up"),
    (
        "exited",
        container(Status="exited", Running=False, ExitCode=137, OOMKilled=True),
        "fail",
        "memory ran out",
    ),
    ("looping", container(9, Status="restarting", Restarting=True), "fail", "restarted in a loop"),
    ("paused", container(Status="paused", Paused=True), "fail", "frozen"),
    ("unhealthy", container(Health={"Status": "unhealthy"}), "fail", "unhealthy"),
    ("restarted once", container(1), "warn", "1 restarts"),
    ("another container", container(name="/roost-postgres-2"), "fail", "does not exist"),
]


@pytest.mark.parametrize(("shown", "status", "word"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_container_states(program: Install, shown: str, status: str, word: str) -> None:
    program("docker", f"cat <<'END'\n{shown}\nEND")
    (found,) = measure_runtime(DockerProvider("roost-postgres", timeout=5))
    assert (found["status"], word in found["summary"]) == (status, True), found["summary"]


def test_a_socket_that_may_not_be_read_says_what_to_do(program: Install) -> None:
    program(
        "docker",
        "echo 'permission denied while trying to connect to the Docker daemon socket at '"
        "'unix:///var/run/docker.sock' >&2; exit 1",
    )
    with pytest.raises(DeniedError, match="group docker"):
        DockerProvider("roost-postgres", timeout=5).state()


def test_an_engine_that_is_down_is_a_failure_and_not_unknown(program: Install) -> None:
    program(
        "docker", "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1"
    )
    (found,) = measure_runtime(DockerProvider("roost-postgres", timeout=5))
    assert found["status"] == "fail"


def test_an_engine_that_hangs_is_ended_in_time(program: Install) -> None:
    program("docker", "exec sleep 60")
    (found,) = measure_runtime(DockerProvider("roost-postgres", timeout=0.3))
    assert "no answer within 0.3 s" in found["summary"]


UNIT = (
    "LoadState=loaded\nActiveState={}\nSubState={}\nResult={}\nNRestarts={}\n"
    "MainPID=0\nExecMainStatus=0\nType={}"
)


@pytest.mark.parametrize(
    ("shown", "status", "word"),
    [
        (UNIT.format("active", "running", "success", 0, "notify"), "ok", "active (running)"),
        (UNIT.format("failed", "failed", "oom-kill", 0, "notify"), "fail", "memory ran out"),
        (UNIT.format("activating", "auto-restart", "exit-code", 5, "notify"), "fail", "restarted in a loop"),
        (UNIT.format("active", "exited", "success", 0, "oneshot"), "warn", "postgresql@15-main"),
        ("LoadState=not-found\nActiveState=inactive\nSubState=dead", "fail", "does not exist"),
    ],
)
def test_unit_states(program: Install, shown: str, status: str, word: str) -> None:
    program("systemctl", f"cat <<'END'\n{shown}\nEND")
    (found,) = measure_runtime(SystemdProvider("postgresql", timeout=5))
    assert (found["status"], word in found["summary"]) == (status, True), found["summary"]
