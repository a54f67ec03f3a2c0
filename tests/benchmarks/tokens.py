"""Revoking 1,000,000 tokens under the eyes of the application, beside the source's bare UPDATE."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.revoke import work_tokens

from runbook.rehearsal.postgres_server import PostgresServer, choose_binaries
from tests.benchmarks import dataset
from tests.benchmarks.measure import Bench, Promise, Target, Variant, Within
from tests.benchmarks.token_clients import beside

ROWS = 1_000_000
WAIT_LIMIT_S = 0.05
BARE, ONE, OURS = "bare UPDATE", "one UPDATE of the active ones", "token_revoke"


@dataclass(frozen=True)
class Case:
    """Which of the tokens were revoked before, and what is promised then."""

    name: str
    revoked: str  # SQL over the number i of a token
    time: float
    wal: float
    # Beside it the shortest way that there is, without regard for anybody: the floor.
    floor: bool = False


CASES = {
    "mixed_20": Case("20 % revoked before", "i % 5 = 0", 1.05, 1.05),
    "oldest_90": Case("the oldest 90 % revoked before", "i <= {rows} * 0.9", 0.25, 0.25),
    # The active tenth has rows on every page: whatever writes them writes each page once.
    "mixed_90": Case("90 % revoked before, anywhere", "i % 10 > 0", 0.25, 0.25, floor=True),
}
# As in the schema of Roost: three indexes, one of them over the active tokens.
SCHEMA = """
CREATE TABLE api_tokens (
    id bigserial PRIMARY KEY, subscriber_id bigint NOT NULL, token_hash bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), last_used_at timestamptz,
    revoked_at timestamptz, revoked_reason text);
INSERT INTO api_tokens (subscriber_id, token_hash, scopes, created_at, revoked_at)
SELECT 1 + abs(hashint4(i)) % 100000, sha256(('token ' || i)::bytea), ARRAY['read', 'write'],
       timestamptz '2024-01-03' + i * interval '1 minute',
       CASE WHEN {revoked} THEN timestamptz '2026-01-01' END
FROM generate_series(1, {rows}) i;
CREATE INDEX "api tokens, live" ON api_tokens (subscriber_id) WHERE revoked_at IS NULL;
VACUUM ANALYZE api_tokens;
"""
TABLE = {"table": "api_tokens", "key": ["id"], "revoked_at": "revoked_at", "reason": "revoked_reason"}


class TokenBench:
    """One server, a fresh copy of the tokens for every run, and what the last run of each variant cost."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.wal: dict[str, float] = {}
        self.wait: dict[str, float] = {}
        for key, case in CASES.items():
            server.execute(f"CREATE DATABASE {key}")
            schema = SCHEMA.replace("{revoked}", case.revoked).replace("{rows}", str(ROWS))
            for statement in schema.split(";\n")[:-1]:
                server.execute(statement, database=key)

    def fresh(self, key: str) -> None:
        """Make the database `now` as it was before any revocation, on a settled server."""
        self.server.execute("DROP DATABASE IF EXISTS now WITH (FORCE)")
        self.server.execute(f"CREATE DATABASE now TEMPLATE {key}")
        self.server.execute("SELECT count(*) FROM api_tokens", database="now")
        self.server.execute("CHECKPOINT")

    def measured(self, name: str, revoke: Callable[[], None]) -> float:
        """Revoke with clients beside it; return its seconds, keep its WAL and the clients' longest wait."""
        with beside(self.server, "now", ROWS) as seen:
            before = self._wal_position()
            began = time.monotonic()
            revoke()
            took = time.monotonic() - began
            self.wal[name] = (self._wal_position() - before) / 1e6
        if seen.statements < 200:
            raise RuntimeError("the clients did next to nothing: nothing was measured")
        self.wait[name] = seen.longest_s
        return took

    def _wal_position(self) -> float:
        ((position,),) = self.server.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        return float(position)

    def bare(self) -> None:
        """What the prose runbook says."""
        self.server.execute("UPDATE api_tokens SET revoked_at = NOW()", database="now")

    def one(self) -> None:
        """The same, of what is active only."""
        self.server.execute(
            "UPDATE api_tokens SET revoked_at = NOW() WHERE revoked_at IS NULL", database="now"
        )

    def ours(self) -> None:
        """The module's work, ledger and verification included."""
        done = work_tokens(
            {
                "login_host": "127.0.0.1", "login_port": self.server.port,
                "login_user": self.server.superuser, "login_password": self.server.password,
                "database": "now", "state": "revoked", "run": "bench",
                "tables": [TABLE], "scope": "all", "batch": 2000, "max_wait_ms": 50, "max_passes": 25,
                "timeout": 300.0,
            },
            check_mode=False,
        )  # fmt: skip
        told = ("passes", "transactions", "retries", "longest_transaction_ms", "duration_s")
        print(f"    {', '.join(f'{key} {done[key]}' for key in told)}", file=sys.stderr, flush=True)

    def variants(self) -> list[Variant]:
        """Every way for every case, each with its WAL and the clients' longest wait."""
        made: list[Variant] = []
        for key, case in CASES.items():
            ways = {BARE: self.bare, OURS: self.ours, **({ONE: self.one} if case.floor else {})}
            for way, revoke in ways.items():
                made += self._variant(key, f"{way}, {case.name}", revoke)
        return made

    def _variant(self, key: str, name: str, revoke: Callable[[], None]) -> list[Variant]:
        return [
            Variant(name, lambda: self.measured(name, revoke), lambda: self.fresh(key)),
            Variant(wal(name), lambda: self.wal[name], unit="MB"),
            Variant(wait(name), lambda: self.wait[name]),
        ]


def wal(name: str) -> str:
    """Return the name of the variant that tells the WAL of another one."""
    return f"{name}: WAL"


def wait(name: str) -> str:
    """Return the name of the variant that tells the longest wait beside another one."""
    return f"{name}: longest wait of a client"


def promises() -> list[Promise]:
    """Return what is promised of each case."""
    made: list[Promise] = []
    for case in CASES.values():
        bare, ours = f"{BARE}, {case.name}", f"{OURS}, {case.name}"
        made += [
            Target(ours, bare, case.time),
            Target(wal(ours), wal(bare), case.wal),
            Within(wait(ours), WAIT_LIMIT_S),
        ]
    return made


@contextlib.contextmanager
def section(scratch: Path, postgres: str) -> Iterator[Bench]:
    """The revocation with 4 writers and 4 readers beside it."""
    server = dataset.server_in(scratch / "pg", choose_binaries(postgres))
    try:
        yield Bench(TokenBench(server).variants(), promises())
    finally:
        server.stop()
