"""Dumps of the nasty schema by the real pg_dump of a server, each made once a process."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive_tools import Tools

from runbook.rehearsal.postgres_server import PostgresServer

SCHEMA = Path(__file__).resolve().parents[2] / "data" / "nasty.sql"
_made: dict[tuple[str, tuple[str, ...]], bytes] = {}
_databases: dict[str, str] = {}


def nasty_database(postgres: PostgresServer) -> str:
    """Return the name of a database with the nasty schema on this server."""
    # A server may be made anew within one process: the folder tells which one it is.
    label = str(postgres.folder)
    if label not in _databases:
        name = f"nasty_{uuid.uuid4().hex[:8]}"
        postgres.execute(f'CREATE DATABASE "{name}"')
        postgres.run("psql", "-qv", "ON_ERROR_STOP=1", "-f", "-", database=name, input=SCHEMA.read_bytes())
        _databases[label] = name
    return _databases[label]


def dump(postgres: PostgresServer, *options: str) -> bytes:
    """Return what `pg_dump <options>` of the nasty database writes."""
    key = (postgres.binaries.label, options)
    if key not in _made:
        _made[key] = postgres.run("pg_dump", *options, database=nasty_database(postgres)).stdout
    return _made[key]


def tools(postgres: PostgresServer) -> Tools:
    """Return the server's own client programs."""
    return Tools(client_dir=str(postgres.binaries.bin_dir))


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cut data into blocks."""
    return [data[i : i + size] for i in range(0, len(data), size)]


def rows(events: list[Any]) -> dict[str, bytes]:
    """Return the rows of each table."""
    found: dict[str, bytes] = {}
    table = ""
    for event in events:
        if isinstance(event, ev.CopyStart):
            table = event.table
            found[table] = b""
        elif isinstance(event, ev.CopyData):
            found[table] += event.data
    return found


def statements(events: list[Any]) -> list[str]:
    """Return the texts of all statements."""
    return [event.text for event in events if isinstance(event, ev.Sql)]
