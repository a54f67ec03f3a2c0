"""Clients that issue, use and look up tokens beside a revocation, each a process of its own."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any

import psycopg2

from runbook.rehearsal.postgres_server import PostgresServer

WRITERS, READERS = 4, 4
_PAUSE_S = 0.01
_ISSUE = (
    (
        "INSERT INTO api_tokens (subscriber_id, token_hash, scopes) "
        "VALUES (%s, sha256((random()::text || clock_timestamp())::bytea), '{{read}}') RETURNING id"
    )
    .replace("{{", "{")
    .replace("}}", "}")
)
_USE = "UPDATE api_tokens SET last_used_at = clock_timestamp() WHERE id = %s"
_LOOK = "SELECT subscriber_id, revoked_at FROM api_tokens WHERE id = %s"
_CONTEXT = multiprocessing.get_context("fork")


@dataclass
class Seen:
    """What the clients saw together: the longest statement in seconds, and how many they ran."""

    longest_s: float = 0.0
    statements: int = 0


def _client(login: dict[str, Any], rows: int, writes: bool, stop: Event, told: Any) -> None:
    connection = psycopg2.connect(**login)
    connection.autocommit = True
    longest, count = 0.0, 0
    with connection.cursor() as cursor:
        while not stop.wait(_PAUSE_S):
            one = random.randint(1, rows)
            statement = (_ISSUE if count % 2 else _USE) if writes else _LOOK
            began = time.monotonic()
            cursor.execute(statement, (one,))
            longest = max(longest, time.monotonic() - began)
            count += 1
    connection.close()
    told.put((longest, count))


@contextmanager
def beside(server: PostgresServer, database: str, rows: int) -> Iterator[Seen]:
    """Run the clients until the block ends; what is yielded is filled then."""
    login = {
        "host": server.host, "port": server.port, "user": server.superuser, "password": server.password,
        "dbname": database,
    }  # fmt: skip
    stop, told, seen = _CONTEXT.Event(), _CONTEXT.Queue(), Seen()
    clients = [
        _CONTEXT.Process(target=_client, args=(login, rows, number < WRITERS, stop, told), daemon=True)
        for number in range(WRITERS + READERS)
    ]
    for client in clients:
        client.start()
    time.sleep(0.5)
    try:
        yield seen
    finally:
        stop.set()
        for _ in clients:
            longest, count = told.get(timeout=60)
            seen.longest_s = max(seen.longest_s, longest)
            seen.statements += count
        for client in clients:
            client.join()
