# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger as two tables beside the tokens: a batch and its entry are one statement."""

from __future__ import annotations

__metaclass__ = type

import json
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.ledger import Batch, RunRecord
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TokenTable

SCHEMA = "oncall"
_CREATE = (
    "CREATE SCHEMA IF NOT EXISTS oncall",
    """
CREATE TABLE IF NOT EXISTS oncall.token_run (
    run text PRIMARY KEY, state text NOT NULL, options jsonb NOT NULL, epoch jsonb,
    by_role text NOT NULL DEFAULT current_user, started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz)""",
    """
CREATE TABLE IF NOT EXISTS oncall.token_batch (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL REFERENCES oncall.token_run,
    place text NOT NULL, stamp text NOT NULL, reason text, rows integer NOT NULL,
    keys text[] NOT NULL, befores text[])""",
    "CREATE INDEX IF NOT EXISTS token_batch_run_idx ON oncall.token_batch (run, id)",
)
_TABLES = {
    "token_run": {"run", "state", "options", "epoch", "by_role", "started_at", "ended_at"},
    "token_batch": {"id", "run", "place", "stamp", "reason", "rows", "keys", "befores"},
}
# Default privileges may hand new tables to others: whoever reads the keys of tokens was chosen, or is nobody.
_STRANGERS = """
SELECT DISTINCT coalesce(r.rolname, '') FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE c.oid = %s::regclass AND a.grantee <> c.relowner
"""
_STATE = """
SELECT to_regnamespace('oncall') IS NOT NULL, current_user,
       has_database_privilege(current_database(), 'CREATE'), current_database()
"""
_COLUMNS = """
SELECT c.relname, array_agg(a.attname::text),
       bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND (c.relname <> 'token_run' OR has_table_privilege(c.oid, 'UPDATE')))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'oncall'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relname IN ('token_run', 'token_batch') AND has_schema_privilege(n.oid, 'USAGE') GROUP BY c.relname
"""
_RUN = "SELECT run, state, options, epoch FROM oncall.token_run WHERE run = %s"
_BEGIN = "INSERT INTO oncall.token_run (run, state, options) VALUES (%s, %s, %s)"
_PAGE = """
SELECT id, place, stamp, reason, keys, befores FROM oncall.token_batch WHERE run = %s AND id > %s
ORDER BY id LIMIT 50
"""
# Arrays as the server writes them: nobody has to take a million keys apart to add them up.
_LINES = """
SELECT id, place, rows, b::text FROM oncall.token_batch b WHERE run = %s AND id > %s ORDER BY id LIMIT 50
"""
# Creating things twice at once fails in spite of IF NOT EXISTS; whoever comes second waits here.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('oncall.runbooks'), hashtext('create ledger'))"


class DatabaseLedger:
    """Two tables of the schema `oncall`, made when first needed, for the login role alone."""

    kind = "database"
    place = "the tables oncall.token_run and oncall.token_batch"

    def check(self, reader: Any) -> None:
        """Raise unless the tables are there and ours to use, or could be made."""
        there, role, may_create, database = pg.rows(reader, _STATE)[0]
        found = {name: (set(columns), usable) for name, columns, usable in pg.rows(reader, _COLUMNS)}
        for name, columns in _TABLES.items():
            have, usable = found.get(name, (columns, True))
            if not columns <= have:
                raise OncallError(
                    "use the ledger",
                    on="oncall.%s" % name,
                    got="that table is somebody else's: it has no %s" % ", ".join(sorted(columns - have)),
                    next_step="set the ledger to a file on the target",
                    kind="foreign_ledger",
                )
            if not usable:
                self._deny(role, "GRANT SELECT, INSERT, UPDATE ON oncall.%s TO the role" % name)
        missing = set(_TABLES) - set(found)
        creator = pg.value(reader, "SELECT has_schema_privilege('oncall', 'CREATE')") if there else may_create
        if missing and not creator:
            what = "SCHEMA oncall" if there else "DATABASE %s" % database
            self._deny(role, "GRANT CREATE ON %s TO the role" % what)

    def _deny(self, role: str, grant: str) -> None:
        raise DeniedError(
            "keep a ledger of what is revoked",
            on="schema oncall",
            got="role %s may not" % role,
            next_step="as the owner: %s; or set the ledger to a file on the target" % grant,
        )

    def _exists(self, session: Any) -> bool:
        return bool(pg.value(session, "SELECT to_regclass('oncall.token_batch') IS NOT NULL"))

    def find(self, reader: Any, run: str) -> Optional[RunRecord]:
        """Return the run, None when it or the whole ledger is not there."""
        found = pg.rows(reader, _RUN, (run,)) if self._exists(reader) else []
        return RunRecord(*found[0]) if found else None

    def begin(self, writer: Any, record: RunRecord) -> None:
        """Make the tables where they are missing, and add the run."""
        if not self._exists(writer):
            self._create(writer)
        pg.rows(writer, _BEGIN, (record.run, record.state, json.dumps(record.options)))

    def _create(self, writer: Any) -> None:
        pg.rows(writer, "BEGIN")
        try:
            pg.rows(writer, "SET LOCAL lock_timeout = 10000; SET LOCAL statement_timeout = 10000")
            pg.rows(writer, _ONE_AT_A_TIME)
            for statement in _CREATE:
                pg.rows(writer, statement)
            for name in _TABLES:
                for (grantee,) in pg.rows(writer, _STRANGERS, ("oncall.%s" % name,)):
                    who = pg.ident(grantee) if grantee else pg.raw("PUBLIC")
                    revoke = pg.statement("REVOKE ALL ON {} FROM {}", pg.ident(SCHEMA, name), who)
                    pg.rows(writer, revoke)
            pg.rows(writer, "COMMIT")
        except BaseException:
            pg.rows(writer, "ROLLBACK")
            raise

    def note_epoch(self, writer: Any, run: str, epoch: Dict[str, Any]) -> None:
        """Keep what the epoch was."""
        pg.rows(writer, "UPDATE oncall.token_run SET epoch = %s WHERE run = %s", (json.dumps(epoch), run))

    def revoke(self, writer: Any, run: str, table: TokenTable, done: Any) -> int:
        """Revoke and keep the entry in one statement: both or nothing."""
        columns = pg.raw(", ").join(
            [pg.statement("array_agg({}::text)", pg.ident("k%d" % at)) for at in range(len(table.key))]
        )
        whole = pg.statement(
            "{} INSERT INTO oncall.token_batch (run, place, stamp, reason, rows, keys, befores) "
            "SELECT {}, {}, stamp::text, reason, count(*), ARRAY[{}], "
            "CASE WHEN count(before) > 0 THEN array_agg(before) END FROM done GROUP BY stamp, reason "
            "RETURNING rows",
            done, run, table.place, columns,
        )  # fmt: skip
        return sum(row[0] for row in pg.rows(writer, whole))

    def settle(self, *, committed: bool) -> None:
        """Nothing to do: the entries shared the fate of the transaction."""

    def finish(self, writer: Any, run: str, state: str) -> None:
        """Note the state and wait for the disk: everything that was committed before is then safe as well."""
        pg.rows(writer, "SET synchronous_commit = on")
        pg.rows(
            writer,
            "UPDATE oncall.token_run SET state = %s, ended_at = clock_timestamp() WHERE run = %s",
            (state, run),
        )

    def batches(self, reader: Any, run: str) -> Iterator[Batch]:
        """Yield what the run revoked, in order."""
        for entry in self._pages(reader, _PAGE, run):
            yield Batch(*entry)

    def entries(self, reader: Any, run: str) -> Iterator[Tuple[str, int, bytes]]:
        """Yield the same for a checksum."""
        for place, count, whole in self._pages(reader, _LINES, run):
            yield place, count, whole.encode()

    def _pages(self, reader: Any, query: str, run: str) -> Iterator[List[Any]]:
        last = 0
        while True:
            page = pg.rows(reader, query, (run, last)) if self._exists(reader) else []
            if not page:
                return
            last = page[-1][0]
            for row in page:
                yield list(row[1:])
