"""Evidence from outside: what a service, and our own SQL, sees of a stand-in; Ansible has no part in it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg2

from runbook.rehearsal import digest, seed
from runbook.rehearsal.stack import Stack

_TIMEOUT_S = 3


@dataclass(frozen=True)
class Picture:
    """The state of the server: the digest of the system's database, and every database's oid by name."""

    database: dict[str, Any]
    names: dict[str, int]


def service_error(stack: Stack) -> str:
    """Do a service's work as the service's own role; return what it gets told ("" when all is well)."""
    facts = stack.facts
    login = {"host": "127.0.0.1", "port": facts["postgres"]["port"], "dbname": stack.database}
    options = f"-c statement_timeout={_TIMEOUT_S * 1000}"
    try:
        connection = psycopg2.connect(**login, **facts["app"], connect_timeout=_TIMEOUT_S, options=options)
        with contextlib.closing(connection), connection.cursor() as cursor:
            for statement in stack.shape.work:
                cursor.execute(statement)
    except psycopg2.Error as error:
        return str(error).strip() or type(error).__name__
    return ""


def digest_of(stack: Stack) -> dict[str, Any]:
    """Return the digest of the system's database."""
    with contextlib.closing(stack.server().connect(stack.database)) as connection:
        return digest.take(connection)


def truth(stack: Stack) -> dict[str, Any]:
    """Return the digest that the database had when the newest good backup was made."""
    kept: dict[str, Any] = seed.Seed(Path(stack.facts["seed"])).facts["truth"]
    return kept


def newer_rows(healthy: dict[str, Any], backup: dict[str, Any]) -> int:
    """Return how many rows more the database has than the backup, summed over tables that grew."""
    grown = (rows[0] - backup["rows"][table][0] for table, rows in healthy["rows"].items())
    return sum(more for more in grown if more > 0)


def picture(stack: Stack) -> Picture:
    """Take the state of the server."""
    rows = stack.server().execute("SELECT datname, oid::bigint FROM pg_database")
    return Picture(digest_of(stack), dict(rows))


def save_picture(taken: Picture, path: Path) -> None:
    """Keep a picture in a file."""
    path.write_text(json.dumps(asdict(taken)))


def load_picture(path: Path) -> Picture:
    """Return a picture that was kept in a file."""
    return Picture(**json.loads(path.read_text()))


def picture_differences(before: Picture, after: Picture, *, databases: bool = True) -> list[str]:
    """Return what is not the same; `databases`: also which databases there are."""
    found = digest.differences(before.database, after.database)
    if databases and before.names != after.names:
        found.append(f"the databases are {sorted(after.names)} instead of {sorted(before.names)}")
    return found


def restored_problems(stack: Stack, before: Picture) -> list[str]:
    """Return what is wrong with a restored system, compared with the backup's truth and the state before."""
    found = [f"a service still gets: {error}"] if (error := service_error(stack)) else []
    now = picture(stack)
    found += digest.differences(truth(stack), now.database, ignore=("identity",))
    identity = {"identity": before.database["identity"]}
    found += digest.differences(identity, {"identity": now.database["identity"]}, ignore=("identity.oid",))
    old = before.database["identity"]["oid"]
    kept = [name for name, oid in now.names.items() if oid == old]
    if kept == [stack.database]:
        found.append("the live database was not replaced")
    if not kept:
        found.append("the old database is gone, so nothing can be taken back")
    return found


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set variables of this process's environment for the length of a `with` block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
