"""A small application with tokens on a real server, and the module's parameters for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.revoke import work_tokens

from runbook.rehearsal.postgres_server import PostgresServer

SCHEMA = """
CREATE TABLE subscribers (id bigint PRIMARY KEY, email text NOT NULL);
INSERT INTO subscribers SELECT i, 'owl.' || i || '@example.org' FROM generate_series(1, 20) i;
INSERT INTO subscribers
VALUES (31, 'Twin@example.org'), (32, 'twin@example.org'), (33, 'o''brien@example.org');
CREATE TABLE api_tokens (
    id bigserial PRIMARY KEY, subscriber_id bigint NOT NULL, session_id uuid, created_at timestamptz NOT NULL,
    last_used_at timestamptz, revoked_at timestamptz, revoked_reason text);
INSERT INTO api_tokens (subscriber_id, session_id, created_at, revoked_at, revoked_reason)
SELECT 1 + i % 20, md5((i % 60)::text)::uuid, timestamptz '2026-01-01' + i * interval '1 hour',
       CASE WHEN i % 5 = 0 THEN timestamptz '2026-02-01' END, CASE WHEN i % 5 = 0 THEN 'non-payment' END
FROM generate_series(1, 300) i;
CREATE INDEX "api tokens, live" ON api_tokens (subscriber_id) WHERE revoked_at IS NULL;
CREATE SCHEMA "Owl Nest";
CREATE TABLE "Owl Nest"."Refresh %s" (
    "family no" uuid, generation smallint, revoked_at timestamp(0), PRIMARY KEY ("family no", generation));
INSERT INTO "Owl Nest"."Refresh %s" SELECT md5(i::text)::uuid, i % 3 FROM generate_series(1, 40) i;
"""
API = {
    "table": "public.api_tokens",
    "key": ["id"],
    "revoked_at": "revoked_at",
    "reason": "revoked_reason",
    "created_at": "created_at",
    "subscriber": "subscriber_id",
    "session": "session_id",
}
REFRESH = {"table": "Owl Nest.Refresh %s", "key": ["generation", "family no"], "revoked_at": "revoked_at"}
ACTIVE = "SELECT count(*) FROM api_tokens WHERE revoked_at IS NULL"


@dataclass
class Owl:
    """The application: a database of its own on a real server."""

    server: PostgresServer
    database: str

    def sql(self, statement: str, parameters: Any = None) -> list[Any]:
        """Run a statement as the superuser."""
        return self.server.execute(statement, parameters, database=self.database)

    def state(self) -> Any:
        """Every token, whole: what an undo has to bring back."""
        return self.sql("SELECT * FROM api_tokens ORDER BY id"), self.sql(
            'SELECT * FROM "Owl Nest"."Refresh %%s" ORDER BY 1, 2', ()
        )

    def options(self, **changed: Any) -> dict[str, Any]:
        """Return the module's parameters with its defaults."""
        return {
            "login_host": "127.0.0.1",
            "login_port": self.server.port,
            "login_user": self.server.superuser,
            "login_password": self.server.password,
            "database": self.database,
            "state": "revoked",
            "run": "run-1",
            "tables": [API],
            "scope": "all",
            "subscriber": "",
            "issued_before": "",
            "session_ids": [],
            "subscribers": None,
            "exclude": None,
            "epoch": None,
            "reason": "",
            "ledger": None,
            "batch": 10,
            "max_wait_ms": 2000,
            "max_passes": 6,
            "timeout": 30.0,
            **changed,
        }

    def revoke(self, *, check_mode: bool = False, **changed: Any) -> dict[str, Any]:
        """Call the module."""
        return work_tokens(self.options(**changed), check_mode=check_mode)

    def undo(self, run: str = "run-1", *, check_mode: bool = False, **changed: Any) -> dict[str, Any]:
        """Call the module's undo."""
        params = self.options(state="restored", run=run, tables=[], **changed)
        return work_tokens(params, check_mode=check_mode)

    def role(self, grants: str) -> dict[str, str]:
        """Make a role with some rights and return the options that log in with it."""
        name = f"weak_{self.database}"
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'canary-weak'")
        self.sql(grants.replace("ROLE", name))
        return {"login_user": name, "login_password": "canary-weak"}
