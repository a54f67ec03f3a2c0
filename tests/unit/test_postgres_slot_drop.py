"""A slot on a real server: one that nobody uses goes, and its WAL with it; one in use stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, DeniedError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.slots import drop_slot

from runbook.rehearsal.postgres_server import PostgresServer

SLOT = "of_an_old_replica"


def options(server: PostgresServer, **changed: Any) -> dict[str, Any]:
    """Return the module's parameters."""
    return {
        "login_host": "127.0.0.1",
        "login_port": server.port,
        "login_user": server.superuser,
        "login_password": server.password,
        "maintenance_db": "postgres",
        "name": SLOT,
        "unused_for": 0.0,
        **changed,
    }


def slots(server: PostgresServer) -> list[str]:
    """Return the slots that there are."""
    return [name for (name,) in server.execute("SELECT slot_name::text FROM pg_replication_slots")]


@pytest.fixture
def slot(postgres: PostgresServer) -> Iterator[str]:
    """A slot that keeps some WAL."""
    postgres.execute("SELECT pg_create_physical_replication_slot(%s, true)", (SLOT,))
    for _number in range(3):
        postgres.execute("SELECT pg_switch_wal()")
        postgres.execute("SELECT pg_logical_emit_message(false, 'x', 'x')")
    yield SLOT
    if SLOT in slots(postgres):
        postgres.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))


def test_an_unused_slot_goes_as_planned(postgres: PostgresServer, slot: str) -> None:
    planned = drop_slot(options(postgres), check_mode=True)
    assert slot in slots(postgres)
    done = drop_slot(options(postgres), check_mode=False)
    assert slot not in slots(postgres)
    assert planned["diff"] == done["diff"]
    assert done["slot"]["retained"] > 0
    assert done["undo"]["reversible"] is False
    again = drop_slot(options(postgres), check_mode=False)
    assert (again["changed"], "there is no slot" in again["prediction"]["summary"]) == (False, True)


def test_a_slot_in_use_stays(postgres: PostgresServer, slot: str) -> None:
    login: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": postgres.port,
        "user": postgres.superuser,
        "password": postgres.password,
    }
    begin = postgres.execute(
        f"SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = '{slot}'"
    )[0][0]
    factory = psycopg2.extras.PhysicalReplicationConnection
    with closing(psycopg2.connect(**login, connection_factory=factory)) as consumer:
        physical = psycopg2.extras.REPLICATION_PHYSICAL
        consumer.cursor().start_replication(slot_name=slot, slot_type=physical, start_lsn=begin)
        for check_mode in (True, False):
            with pytest.raises(ConflictError, match="somebody reads from it"):
                drop_slot(options(postgres), check_mode=check_mode)
    assert slot in slots(postgres)


def test_who_may_not_drop_is_told_so(postgres: PostgresServer, slot: str) -> None:
    postgres.execute("CREATE ROLE looks LOGIN PASSWORD 'canary-looks' IN ROLE pg_monitor")
    try:
        with pytest.raises(DeniedError, match="REPLICATION"):
            drop_slot(options(postgres, login_user="looks", login_password="canary-looks"), check_mode=False)
    finally:
        postgres.execute("DROP ROLE looks")
    assert slot in slots(postgres)
