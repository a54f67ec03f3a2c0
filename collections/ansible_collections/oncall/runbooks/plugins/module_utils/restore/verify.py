# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proving that what was loaded is what the backup holds, before anything is switched."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Dict, List, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load import Loaded
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_session import Session
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import Check
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.schedule import Claims, Task

_UNTOUCHED = "the live database is untouched; choose another backup, or restore with switch: false to look"
_INVALID_INDEXES = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready) ORDER BY 1
"""
_UNVALIDATED = """
SELECT conname || ' on ' || coalesce(nullif(conrelid, 0)::regclass::text, nullif(contypid, 0)::regtype::text)
FROM pg_constraint WHERE NOT convalidated ORDER BY 1
"""


class RowCounts:
    """Collects statistics and counts the rows of every table of a dump, beside the last of its statements."""

    def __init__(self) -> None:
        self.counted: Dict[str, int] = {}

    def tasks(self, loaded: Loaded) -> List[Task]:
        """Return what is to be done with each table; the statistics make the first queries well planned."""
        tables = list({**dict.fromkeys(loaded.created), **loaded.tables})
        statistics = [_task(loaded, table, _analyze, Claims(tended=frozenset([table]))) for table in tables]
        return statistics + [
            _task(loaded, table, self._count, Claims(read=frozenset([table]))) for table in tables
        ]

    def _count(self, session: Session, table: str) -> None:
        self.counted[table] = _count(session, table)

    def check(self, loaded: Loaded) -> Dict[str, int]:
        """Return the rows that the server counted; raise when a table has others than the backup."""
        wrong = [
            "%s has %d rows, the backup %d" % (table, self.counted[table], rows)
            for table, rows in sorted(loaded.tables.items())
            if self.counted[table] != rows
        ]
        if wrong:
            raise _failed("compare the rows of each table with the backup", wrong)
        return self.counted


def _task(loaded: Loaded, table: str, work: Callable[[Session, str], None], claims: Claims) -> Task:
    def run(session: Session) -> None:
        session.adopt(loaded.encoding)
        work(session, table)

    return Task(run, claims, 0, table)


def _analyze(session: Session, table: str) -> None:
    _kind(session, table)
    session.execute(b"ANALYZE " + _raw(table), "collect statistics of table %s" % table)


def _count(session: Session, table: str) -> int:
    kind = _kind(session, table)
    with session.connection.cursor() as cursor:
        # COPY names one table: rows of tables that inherit from it came with a COPY of their own.
        only = b"" if kind in ("p", "f") else b"ONLY "
        cursor.execute(b"SELECT count(*) FROM " + only + _raw(table))
        return int(cursor.fetchone()[0])


def _kind(session: Session, table: str) -> str:
    with session.connection.cursor() as cursor:
        cursor.execute(
            b"SELECT relkind FROM pg_class WHERE oid = to_regclass('%s')" % _raw(table, quote=True)
        )
        found = cursor.fetchone()
    if not found:
        raise _failed("find table %s" % table, ["it is in the backup but not in the restored database"])
    return str(found[0])


def _raw(table: str, quote: bool = False) -> bytes:
    raw = table.encode("utf-8", "surrogateescape")
    return raw.replace(b"'", b"''") if quote else raw


def check_integrity(connection: Any, loaded: Loaded) -> None:
    """Raise when an index is invalid, or a constraint is not validated that the dump does not declare so."""
    invalid = [name for (name,) in pg.rows(connection, _INVALID_INDEXES)]
    if invalid:
        raise _failed("find every index valid", invalid)
    unvalidated = [name for (name,) in pg.rows(connection, _UNVALIDATED)]
    if unvalidated and not loaded.unvalidated:
        raise _failed("find every constraint validated", unvalidated)


def run_checks(connection: Any, checks: Sequence[Check]) -> List[Dict[str, Any]]:
    """Run the caller's checks, read-only; raise when one fails, naming each that failed and why."""
    results = [_run_check(connection, check) for check in checks]
    failed = ["%s: %s" % (result["name"], result["got"]) for result in results if not result["ok"]]
    if failed:
        raise _failed("pass the checks that were asked for", failed)
    return results


def _run_check(connection: Any, check: Check) -> Dict[str, Any]:
    pg.rows(connection, "BEGIN READ ONLY")
    try:
        found = pg.rows(connection, check.sql)
    except pg.Error as error:
        return {"name": check.name, "ok": False, "got": " ".join(str(error).split())}
    finally:
        pg.rows(connection, "ROLLBACK")
    answer: Tuple[Any, ...] = found[0] if found else ()
    passed = len(found) == 1 and bool(answer) and answer[0] is True
    shown = "true" if passed else "returned %s, not one row with true" % _show(found)
    return {"name": check.name, "ok": passed, "got": shown}


def _show(found: Sequence[Tuple[Any, ...]]) -> str:
    if len(found) != 1:
        return "%d rows" % len(found)
    return repr(found[0][0])[:80] if found[0] else "an empty row"


def _failed(tried: str, what: Sequence[str]) -> VerificationError:
    shown = "; ".join(what[:5]) + ("; and %d more" % (len(what) - 5) if len(what) > 5 else "")
    return VerificationError(tried, got=shown, next_step=_UNTOUCHED)
