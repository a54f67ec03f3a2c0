# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the expected tables are there and every page that can be read in time can be read."""

from __future__ import annotations

__metaclass__ = type

import time
from contextlib import closing
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login, ident, rows, statement
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.server import read_session
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, size

Limits = Mapping[str, Any]

_TABLES = """
SELECT n.nspname, c.relname, c.relkind::text, c.oid::bigint,
       CASE WHEN c.relkind IN ('p', 'v') THEN 0
            -- Asking a locked table for its size would wait for the lock.
            WHEN EXISTS (SELECT 1 FROM pg_locks l WHERE l.relation = c.oid AND l.granted
                         AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid())
            THEN c.relpages::bigint * current_setting('block_size')::bigint
            ELSE pg_relation_size(c.oid) END::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p', 'v') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_CHECKSUMS = """
SELECT coalesce(sum(checksum_failures), 0)::bigint, max(checksum_last_failure)::text,
       coalesce(max(checksum_last_failure) > now() - interval '1 day', false)
FROM pg_stat_database WHERE datname = current_database() OR datid = 0
"""
_AMCHECK = """
SELECT EXISTS (SELECT 1 FROM pg_proc p JOIN pg_extension e ON e.extname = 'amcheck'
               WHERE p.proname = 'verify_heapam' AND has_function_privilege(p.oid, 'EXECUTE'))
"""
# Only a sequential scan reads every page of the table itself; an index-only scan would count without it.
_PLANS = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")
_TOO_LATE = "57014"
_DENIED = "42501"
TOP = 5

Table = Tuple[str, str, str, int, int]


def measure_data(
    login: Login, database: str, expected: Sequence[str], limits: Limits, timeout: float
) -> Iterator[Dict[str, Any]]:
    """Yield whether the expected tables (`schema.table`) exist, and all tables can be read, smallest first.

    Without expected tables, every table of the database is read as far as the time allows.
    """
    deadline = time.monotonic() + timeout * 0.8
    try:
        session = read_session(login, database, timeout)
    except OncallError as exc:
        if exc.kind != "no_database":
            raise
        text = "There is no database %s on this server." % database
        yield finding(
            "postgres_data",
            "fail",
            text,
            observed={"missing_database": database},
            expected={"tables": list(expected)},
        )
        return
    with closing(session):
        yield _judge(session, database, _named(expected), limits, deadline)


def _named(expected: Sequence[str]) -> List[str]:
    """Names without a schema are tables of `public`."""
    return [name if "." in name else "public.%s" % name for name in expected]


def _judge(
    session: Any, database: str, expected: List[str], limits: Limits, deadline: float
) -> Dict[str, Any]:
    tables: List[Table] = list(rows(session, _TABLES))
    names = {"%s.%s" % (schema, name) for schema, name, _kind, _oid, _size in tables}
    missing = sorted(set(expected) - names)
    reader = _Reader(session, limits["table_read_limit"], deadline)
    for table in _order(tables, expected):
        reader.read(table)
    failures, last, recent = rows(session, _CHECKSUMS)[0]
    problems = ["missing: %s" % ", ".join(missing)] if missing else []
    problems += ["%s: %s" % item for item in sorted(reader.damaged.items())]
    if failures:
        problems.append(
            "%s seen by the server, the last at %s" % (plural(failures, "checksum failure"), last)
        )
    late = sorted(reader.late)
    return finding(
        "postgres_data",
        _status(bool(missing or reader.damaged or recent), bool(failures) or not tables, bool(late)),
        _summary(database, tables, reader, problems, late),
        observed={
            "tables": len(tables),
            "missing": missing,
            "damaged": reader.damaged,
            "not_read": late,
            "denied": sorted(reader.denied),
            "rows": reader.rows,
            "sampled": reader.sampled,
            "amcheck": reader.amcheck,
            "checksum_failures": failures,
            "largest": _largest(tables),
        },
        expected={"tables": expected, "damaged": {}, "checksum_failures": 0},
    )


def _order(tables: List[Table], expected: List[str]) -> List[Table]:
    """The expected tables, the smallest first, so that most of them are read when time is short."""
    wanted = set(expected)
    chosen = [t for t in tables if t[2] in "rmp" and (not wanted or "%s.%s" % (t[0], t[1]) in wanted)]
    return sorted(chosen, key=lambda table: table[4])


def _largest(tables: List[Table]) -> Dict[str, int]:
    biggest = sorted(tables, key=lambda table: -table[4])[:TOP]
    return {"%s.%s" % (schema, name): bytes_ for schema, name, _kind, _oid, bytes_ in biggest}


def _status(broken: bool, doubtful: bool, late: bool) -> str:
    if broken:
        return "fail"
    return "warn" if doubtful else "unknown" if late else "ok"


def _summary(
    database: str, tables: List[Table], reader: "_Reader", problems: List[str], late: List[str]
) -> str:
    total = sum(table[4] for table in tables)
    text = "Database %s: %s (%s), %d read" % (
        database,
        plural(len(tables), "table"),
        size(total),
        len(reader.rows),
    )
    if reader.sampled:
        text += " (%d of them by a sample)" % len(reader.sampled)
    if late:
        text += ", not read in time: %s" % ", ".join(late)
    if reader.denied:
        text += ", may not be read by this role: %s" % ", ".join(sorted(reader.denied))
    return "%s. %s" % (text, "; ".join(problems) + "." if problems else "Nothing is missing or damaged.")


class _Reader:
    """Reads tables one after the other over one session until the deadline."""

    def __init__(self, session: Any, limit: int, deadline: float) -> None:
        self.session, self.limit, self.deadline = session, limit, deadline
        self.rows: Dict[str, int] = {}
        self.damaged: Dict[str, str] = {}
        self.sampled: Dict[str, float] = {}
        self.late: List[str] = []
        self.denied: List[str] = []
        for plan in _PLANS:
            rows(session, statement("SET {} TO off", ident(plan)))
        self.amcheck = bool(rows(session, _AMCHECK)[0][0])

    def read(self, table: Table) -> None:
        """Read one table, and note what came back; a damaged table does not end the reading of others."""
        schema, name, kind, oid, bytes_ = table
        label = "%s.%s" % (schema, name)
        left = self.deadline - time.monotonic()
        if left <= 0.05:
            self.late.append(label)
            return
        try:
            rows(self.session, statement("SET statement_timeout TO {}", int(left * 1000)))
            self.rows[label] = self._count(label, schema, name, kind, bytes_)
            if self.amcheck and kind in "rm" and bytes_ <= self.limit:
                self._verify(label, oid)
        except Exception as exc:
            self._note(label, exc)

    def _count(self, label: str, schema: str, name: str, kind: str, bytes_: int) -> int:
        query = statement("SELECT count(*) FROM {}", ident(schema, name))
        if bytes_ > self.limit and kind in "rm":
            percent = 100.0 * self.limit / bytes_
            query = statement("SELECT count(*) FROM {} TABLESAMPLE SYSTEM ({})", ident(schema, name), percent)
            self.sampled[label] = round(percent, 1)
        return int(rows(self.session, query)[0][0])

    def _verify(self, label: str, oid: int) -> None:
        found = rows(
            self.session, "SELECT blkno, msg FROM verify_heapam(%s::bigint::oid::regclass) LIMIT 3", [oid]
        )
        if found:
            self.damaged[label] = "; ".join("block %s: %s" % row for row in found)

    def _note(self, label: str, exc: Exception) -> None:
        code, got = getattr(exc, "pgcode", None), " ".join(str(exc).split())
        if code == _TOO_LATE:
            self.late.append(label)
        elif code == _DENIED:
            self.denied.append(label)
        elif code == "55P03":
            self.late.append(label)
        else:
            self.damaged[label] = got
