"""How long clients that connect again and again are refused while a restored database takes its place."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from runbook.rehearsal.postgres_server import PostgresServer
from tests.benchmarks import restore
from tests.benchmarks.measure import Bench, Variant, Within

CLIENTS = 8
ROWS = 200_000
SEEN = f"longest refusal that any of {CLIENTS} reconnecting clients saw"
_PAUSE_S = 0.005
_ENOUGH = 10


class Client(threading.Thread):
    """Connects, asks, leaves, over and over; notes how long it was without an answer when it was refused."""

    def __init__(self, server: PostgresServer, database: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._server, self._database, self._ended = server, database, stop
        self.answers = 0
        self.longest = 0.0

    def run(self) -> None:
        """From the last answer before a refusal to the first one after it: more than the refusal itself."""
        answered, refused = time.monotonic(), False
        while not self._ended.wait(_PAUSE_S):
            try:
                with contextlib.closing(self._server.connect(self._database)) as connection:
                    connection.cursor().execute("SELECT count(*) FROM pg_class")
            except psycopg2.Error:
                refused = True
                continue
            now = time.monotonic()
            if refused:
                self.longest = max(self.longest, now - answered)
            answered, refused = now, False
            self.answers += 1


def seen_by_clients(bench: restore.RestoreBench) -> float:
    """Restore and switch under the eyes of the clients; return the longest time that one was refused."""
    ended = threading.Event()
    clients = [Client(bench.server, "ours", ended) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        bench.ours("sql.gz", 1)
    finally:
        ended.set()
        for client in clients:
            client.join()
    if min(client.answers for client in clients) < _ENOUGH:
        raise RuntimeError("a client got no answers: nothing was measured")
    return max(client.longest for client in clients)


@contextlib.contextmanager
def section(scratch: Path, postgres: str) -> Iterator[Bench]:
    """The switch as its clients see it, beside the time that the module tells."""
    with restore.ready(scratch, postgres, ROWS) as bench:
        variants = [
            Variant(SEEN, lambda: seen_by_clients(bench), lambda: bench.fresh("ours")),
            Variant("the same switch by the module's own clock", lambda: bench.windows[-1] / 1000),
        ]
        yield Bench(variants, [Within(SEEN, restore.WINDOW_LIMIT_S)])
