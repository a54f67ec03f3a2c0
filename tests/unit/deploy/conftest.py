"""A project with a checkout, and one database for its migrations."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy_world import World

from runbook.rehearsal.postgres_server import PostgresServer


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project whose first commit is live."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    made = World(tmp_path / "opt")
    made.create()
    return made


@pytest.fixture(scope="session")
def schema(postgres: PostgresServer) -> Iterator[str]:
    """A database with the table of migrations."""
    name = f"deploy_{uuid.uuid4().hex[:8]}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield name
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def with_database(world: World, postgres: PostgresServer, schema: str) -> World:
    """The project with a database that has no migration yet."""
    postgres.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public", database=schema)
    postgres.execute("CREATE TABLE public.schema_migrations (version int PRIMARY KEY)", database=schema)
    world.login = {
        "login_host": "127.0.0.1",
        "login_port": postgres.port,
        "login_user": postgres.superuser,
        "login_password": postgres.password,
        "database": schema,
    }
    return world
