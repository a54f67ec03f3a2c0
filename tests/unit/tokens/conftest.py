"""A small application with tokens on a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from owl_tokens import SCHEMA, Owl

from runbook.rehearsal.postgres_server import PostgresServer


@pytest.fixture
def owl(postgres: PostgresServer, database: str) -> Iterator[Owl]:
    """The application with 240 active tokens out of 300, and 40 refresh tokens."""
    made = Owl(postgres, database)
    made.sql(SCHEMA)
    yield made
    role = f"weak_{database}"
    if made.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)):
        made.sql(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture(scope="module")
def still_owl(postgres: PostgresServer) -> Iterator[Owl]:
    """The same, once for all tests that must not change anything: each of them sees whether one did."""
    made = Owl(postgres, f"t_{uuid.uuid4().hex[:12]}")
    postgres.execute(f"CREATE DATABASE {made.database}")
    made.sql(SCHEMA)
    yield made
    postgres.execute(f"DROP DATABASE {made.database} WITH (FORCE)")
