"""One world per test; the tables are made once per server and emptied."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from billing_world import World, handling, stripe_account

from runbook.rehearsal import seed
from runbook.rehearsal.postgres_server import PostgresServer

CLEAN = """
DROP TABLE IF EXISTS public.people;
ALTER TABLE public.audit_log DROP CONSTRAINT IF EXISTS full_up;
DELETE FROM public.subscribers; DELETE FROM public.audit_log; DELETE FROM billing.webhook_events;
"""
SCHEMA = Path(seed.__file__).parent / "data" / "roost_schema.sql"


@pytest.fixture(scope="session")
def tables(postgres: PostgresServer) -> Iterator[str]:
    """A database with Roost's tables."""
    name = f"billing_{uuid.uuid4().hex[:8]}"
    for role in ("roost", "roost_app", "roost_readonly"):
        if not postgres.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)):
            postgres.execute(f"CREATE ROLE {role}")
    postgres.execute(f"CREATE DATABASE {name}")
    postgres.execute(SCHEMA.read_text(), database=name)
    yield name
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def world(postgres: PostgresServer, tables: str, tmp_path: Path) -> Iterator[World]:
    """Stripe, the handler and the tables, nobody in them yet."""
    secret = "whsec_canary" + uuid.uuid4().hex
    login = {
        "login_host": "127.0.0.1",
        "login_port": postgres.port,
        "login_user": postgres.superuser,
        "login_password": postgres.password,
    }
    with (
        handling(postgres, tables, secret) as (handler, url),
        stripe_account(tmp_path / "stripe", secret, url) as stripe,
    ):
        yield World(postgres, tables, stripe, handler, login)
    # A database per test would take three times as long.
    postgres.execute(CLEAN, database=tables)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once what is repeated."""
    monkeypatch.setattr(
        "ansible_collections.oncall.runbooks.plugins.module_utils.http_api._pause", lambda *_: 0.0
    )
