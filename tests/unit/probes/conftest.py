"""A server that a test may break, and the options of a module call that reaches it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import DEFAULTS

from runbook.rehearsal.postgres_server import PostgresBinaries, PostgresServer


@pytest.fixture
def own_server(postgres_binaries: PostgresBinaries, server_folder: Path) -> Iterator[PostgresServer]:
    """A running server of this test alone."""
    server = PostgresServer(
        postgres_binaries, server_folder / f"own-{time.monotonic_ns()}", settings={"max_connections": "8"}
    )
    server.create()
    server.start()
    yield server
    with suppress(OSError, ValueError):
        # The postmaster may be frozen, or one that a restart put in the place of the first.
        os.kill(server.pid, signal.SIGCONT)
        os.kill(server.pid, signal.SIGQUIT)
    server.stop("immediate")


@pytest.fixture
def options() -> Callable[..., dict[str, Any]]:
    """Return the parameters of postgres_health for a server, every option at its default."""

    def make(server: PostgresServer, database: str = "postgres", **changed: Any) -> dict[str, Any]:
        return {
            "login_host": "127.0.0.1",
            "login_port": server.port,
            "login_user": server.superuser,
            "login_password": server.password,
            "maintenance_db": "postgres",
            "database": database,
            "runtime": {"kind": "process", "data_dir": str(server.data)},
            "data_path": str(server.folder),
            "docker_root": "",
            "log_path": str(server.log),
            "expected_tables": [],
            "timeout": 3.0,
            "thresholds": dict(DEFAULTS),
            **changed,
        }

    return make


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a program on PATH that replays recorded output: no engine or init system runs here."""

    def install(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    return install
