"""A database that lives in a real container: measured, restored by the container's own programs, undone."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import DEFAULTS
from ansible_collections.oncall.runbooks.plugins.modules import postgres_health
from container_engine import ContainerServer, Engine, NoEngineError
from restoring import Restoring

from runbook.rehearsal.postgres_server import choose_binaries
from runbook.rehearsal.s3_server import S3Server

pytestmark = pytest.mark.containers
NAME = "oncall-test-pg"


@pytest.fixture(scope="module")
def server() -> Iterator[ContainerServer]:
    """A server in a container; where no engine can be had the tests are skipped, and say why."""
    binaries = choose_binaries("embedded")
    with tempfile.TemporaryDirectory(prefix="oncall-engine-") as folder:
        Path(folder).chmod(0o711)
        engine = Engine(Path(folder) / "engine")
        try:
            engine.start()
        except NoEngineError as error:
            pytest.skip(f"NOT TESTED, no container engine: {error}")
        made = ContainerServer(engine, binaries, Path(folder) / "sockets", f"{NAME}-{os.getpid()}")
        try:
            engine.import_postgres(binaries)
            made.start()
            yield made
        finally:
            if engine.environment:
                engine.run("rm", "-f", "-v", made.name)
            engine.stop()


@pytest.fixture
def restoring(server: ContainerServer, s3: S3Server, bucket: str, tmp_path: Path) -> Iterator[Restoring]:
    server.execute("CREATE DATABASE app")
    made = Restoring(
        server,  # type: ignore[arg-type]  # the part of a server that is used here
        s3,
        bucket,
        "app",
        tmp_path,
        extra={
            "container": server.name,
            "login_host": "",
            "login_unix_socket": server.sockets,
            "client_dir": "",
        },
    )
    made.settings = {"DOCKER_HOST": server.engine.environment.get("DOCKER_HOST", "")}
    made.fill()
    yield made
    for name in ("app", *made.others()):
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.mark.parametrize("how", ["plain", "custom"])
def test_restored_and_undone_by_its_own_programs(restoring: Restoring, how: str) -> None:
    good = restoring.digest()
    if how == "plain":
        restoring.upload(gzip.compress(restoring.dump()))
    else:
        restoring.upload(restoring.dump("-Fc"), "daily/app_20261120T030000Z.dump")
    restoring.server.execute("DELETE FROM orders", database="app")
    damaged = restoring.digest()
    done = restoring.run()
    assert done["changed"], done
    assert done["prediction"]["free"] > 0  # measured inside the container
    assert restoring.digest() == good
    assert restoring.run(**done["undo"]["args"])["changed"]
    assert restoring.digest() == damaged


def test_in_place_with_the_containers_pg_dump(restoring: Restoring) -> None:
    good = restoring.digest()
    restoring.upload(gzip.compress(restoring.dump()))
    restoring.server.execute("DELETE FROM orders", database="app")
    damaged = restoring.digest()
    done = restoring.run(in_place=True, confirm_in_place="app")
    assert done["changed"], done
    assert restoring.digest() == good
    assert restoring.run(**done["undo"]["args"])["changed"]
    assert restoring.digest() == damaged


def test_a_container_that_is_not_there_is_named(restoring: Restoring) -> None:
    restoring.upload(restoring.dump("-Fc"), "daily/app_20261120T030000Z.dump")
    live = restoring.digest()
    said = restoring.run(container="no-such-container")
    restoring.failed(said, "tool", live, "no-such-container")
    assert restoring.others() == []


def test_its_health_is_measured(server: ContainerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", server.engine.environment.get("DOCKER_HOST", ""))
    parameters: dict[str, Any] = {
        "login_unix_socket": server.sockets,
        "login_user": server.superuser,
        "maintenance_db": "postgres",
        "database": "postgres",
        "runtime": {"kind": "docker", "name": server.name},
        "data_path": "/",
        "docker_root": "",
        "log_path": "",
        "expected_tables": [],
        "timeout": 5.0,
        "thresholds": dict(DEFAULTS),
    }
    found = {f["check"]: f for f in postgres_health.run(parameters, check_mode=False)["findings"]}
    assert found["postgres_runtime"]["status"] == "ok", found["postgres_runtime"]
    assert found["postgres_answers"]["status"] == "ok"
    assert found["postgres_log"]["status"] == "ok", found["postgres_log"]
    server.engine.run("pause", server.name)
    try:
        frozen = {
            f["check"]: f
            for f in postgres_health.run({**parameters, "timeout": 2.0}, check_mode=False)["findings"]
        }
    finally:
        server.engine.run("unpause", server.name)
    assert frozen["postgres_answers"]["status"] == "fail"
    assert frozen["postgres_runtime"]["status"] != "ok", frozen["postgres_runtime"]
