"""What a host has and lacks, asked of this one."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import ready

from runbook.rehearsal.postgres_server import PostgresServer

NOTHING: dict[str, Any] = {
    "timeout": 5.0,
    "packages": [],
    "runtimes": [],
    "folders": [],
    "paths": [],
    "database": "",
    "container": "",
    "container_engine": "docker",
    "client_dir": "",
}


def _found(**asked: Any) -> dict[str, list[dict[str, Any]]]:
    made: dict[str, list[dict[str, Any]]] = {}
    for finding in ready.measure_ready(NOTHING | asked):
        made.setdefault(finding["check"], []).append(finding)
    return made


def test_a_host_of_which_little_is_asked_is_ready() -> None:
    found = _found(packages=["psycopg2"], paths=["/"], folders=["/tmp/oncall/new"])
    assert set(found) == {"host_python", "host_programs", "host_folders", "host_disk"}
    for check in ("host_python", "host_programs", "host_folders"):
        assert [f["status"] for f in found[check]] == ["ok"], found[check]


def test_a_missing_package_is_named_with_the_python_that_lacks_it() -> None:
    (found,) = _found(packages=["psycopg2", "no_such_package"])["host_python"]
    assert found["status"] == "fail"
    assert found["observed"]["missing"] == ["no_such_package"]
    assert sys.executable in found["summary"]


def test_a_python_that_is_too_old_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "OLDEST_PYTHON", (9, 9))
    (found,) = _found()["host_python"]
    assert found["status"] == "fail"
    assert "9.9 or newer" in found["summary"]


def _program(folder: Path, name: str, code: int, said: str = "") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_an_engine_that_does_not_let_this_user_in_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "docker", 1, "permission denied on /var/run/docker.sock")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (found,) = _found(runtimes=[{"kind": "compose", "name": "relay"}, {"kind": "docker"}])["host_programs"]
    assert found["status"] == "fail"
    assert "docker does not answer this user: permission denied" in found["summary"]
    _program(tmp_path, "docker", 0)
    (found,) = _found(runtimes=[{"kind": "docker"}])["host_programs"]
    assert found["status"] == "ok"


def test_units_of_systemd_need_systemctl_and_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = _found(runtimes=[{"kind": "systemd"}])["host_programs"]
    assert "systemctl is not installed" in found["summary"]
    _program(tmp_path, "systemctl", 0)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (found,) = _found(runtimes=[{"kind": "systemd"}])["host_programs"]
    assert "not root" in found["summary"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (found,) = _found(runtimes=[{"kind": "systemd"}])["host_programs"]
    assert found["status"] == "ok"


def test_client_programs_are_looked_for_where_a_restore_would_start_them(tmp_path: Path) -> None:
    _program(tmp_path, "pg_restore", 0)
    found = list(ready._missing_programs(NOTHING | {"database": "x", "client_dir": str(tmp_path)}))
    assert [name for name, _said in found] == ["pg_dump"]
    asked = NOTHING | {"database": "x", "container": "db", "container_engine": str(tmp_path / "engine")}
    _program(tmp_path, "engine", 1, "no such container: db")
    found = list(ready._missing_programs(asked))
    assert [name for name, _said in found] == ["pg_restore", "pg_dump"]
    assert "no such container: db" in found[0][1]


def test_a_folder_that_can_neither_be_written_nor_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (found,) = _found(folders=[str(tmp_path / "file" / "locks")])["host_folders"]
    assert "is no folder" in found["summary"]
    monkeypatch.setattr(os, "access", lambda *_args: False)
    (found,) = _found(folders=[str(tmp_path / "new" / "locks")])["host_folders"]
    assert found["status"] == "fail"
    assert str(tmp_path / "new" / "locks") in found["summary"]
    assert not (tmp_path / "new").exists()


def test_a_path_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (found,) = _found(paths=[str(tmp_path / "data")])["host_disk"]
    assert (found["status"], found["observed"]["path"]) == ("fail", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("told", "status", "word"),
    [
        (1000.4, "ok", "agrees"),
        # Asked at 1000, answered at 1030: what was said in between is not off.
        (1029.0, "ok", "agrees"),
        (1037.0, "warn", "at least 7.0 s ahead of"),
        (1095.0, "fail", "at least 65.0 s ahead of"),
        (994.0, "warn", "at least 6.0 s behind"),
        (900.0, "fail", "at least 100.0 s behind"),
    ],
)
def test_only_what_is_surely_off_counts_for_the_clock(told: float, status: str, word: str) -> None:
    found = ready.measure_clock(1000.0, 1030.0, told)
    assert (found["check"], found["status"]) == ("host_clock", status)
    assert word in found["summary"]


def test_the_role_of_the_database_must_be_able_to_restore(postgres: PostgresServer, database: str) -> None:
    login = {"login_host": postgres.host, "login_port": postgres.port, "login_user": postgres.superuser}
    asked = login | {"login_password": postgres.password, "database": database, "maintenance_db": "postgres"}
    (found,) = ready._database(NOTHING | asked)
    assert found["status"] == "ok", found
    secret = "canary-ready-1"
    postgres.execute(f"CREATE ROLE {database}_weak LOGIN PASSWORD '{secret}'")
    try:
        weak = asked | {"login_user": f"{database}_weak", "login_password": secret}
        (found,) = ready._database(NOTHING | weak)
        assert found["status"] == "fail"
        assert found["observed"]["lacks"] == ["CREATEDB", "pg_signal_backend"]
        (found,) = ready._database(NOTHING | weak | {"login_password": "canary-wrong-2"})
        assert found["status"] == "fail"
        assert "canary" not in str(found)
    finally:
        postgres.execute(f"DROP ROLE {database}_weak")
