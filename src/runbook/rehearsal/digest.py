"""What a database is, in a form that two states can be compared by: never its own tools' exit codes.

A digest is plain data: `identity` (oid, owner, rights, settings, …), `schema` (a hash of every object's
definition, by name), `rows` (count and hash of each table; a damaged one is measured block by block) and
`sequences`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg2

_IDENTITY = """
SELECT d.oid::bigint, r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datconnlimit,
       d.datallowconn, t.spcname, shobj_description(d.oid, 'pg_database'),
       ARRAY(SELECT a::text FROM unnest(d.datacl) a ORDER BY 1),
       ARRAY(SELECT CASE WHEN s.setrole = 0 THEN c ELSE s.setrole::regrole || ': ' || c END
             FROM pg_db_role_setting s, unnest(s.setconfig) c
             WHERE s.setdatabase = d.oid AND c NOT LIKE 'oncall_runbooks.%%' ORDER BY 1)
FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba JOIN pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = %s"""
_IDENTITY_NAMES = (
    "oid", "owner", "encoding", "collate", "ctype", "connection_limit", "allows_connections", "tablespace",
    "comment", "rights", "settings",
)  # fmt: skip

_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'"
_SCHEMA = (Path(__file__).parent / "data" / "digest_schema.sql").read_text()
_TABLES = f"""
SELECT c.oid::regclass::text, pg_relation_size(c.oid) / current_setting('block_size')::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND {_OURS} ORDER BY 1"""  # noqa: S608
_SEQUENCES = f"""
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND {_OURS} ORDER BY 1"""  # noqa: S608
_HASH = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {table} t"


def take(connection: Any) -> dict[str, Any]:
    """Return the digest of the database that `connection` (psycopg2, superuser) is in; nothing is written."""
    connection.rollback()
    connection.autocommit = True
    with connection.cursor() as cursor:
        # Names come out qualified, and values in one format, whatever the database's own settings are.
        for setting in (
            "search_path = ''",
            "timezone = 'UTC'",
            "extra_float_digits = 3",
            "statement_timeout = 0",
            # Two processors read a table of the stand-in in half the time.
            "min_parallel_table_scan_size = '1MB'",
        ):
            cursor.execute("SET " + setting)
        cursor.execute("SET bytea_output = 'hex'; SET intervalstyle = 'iso_8601'; SET datestyle = 'ISO'")
        return {
            "identity": _identity(cursor),
            "schema": _schema(cursor),
            "rows": _rows(cursor),
            "sequences": _sequences(cursor),
        }


def _identity(cursor: Any) -> dict[str, Any]:
    cursor.execute("SELECT current_database()")
    cursor.execute(_IDENTITY, cursor.fetchone())
    return dict(zip(_IDENTITY_NAMES, cursor.fetchone(), strict=True))


def _schema(cursor: Any) -> dict[str, str]:
    hashed = "SELECT x.name, md5(coalesce(x.definition, ''))"
    cursor.execute(f"{hashed} FROM ({_SCHEMA}) AS x (name, definition) ORDER BY 1, 2")
    return dict(cursor.fetchall())


def _rows(cursor: Any) -> dict[str, Any]:
    cursor.execute(_TABLES)
    return {table: _table(cursor, table, blocks) for table, blocks in cursor.fetchall()}


def _table(cursor: Any, table: str, blocks: int) -> Any:
    try:
        cursor.execute(_HASH.format(table=table))
        return list(cursor.fetchone())
    except psycopg2.Error:
        return _damaged(cursor, table, 0, blocks)


def _damaged(cursor: Any, table: str, low: int, high: int) -> list[Any]:
    """Measure what can be read of blocks low..high-1 by halving, and name the blocks that cannot."""
    try:
        cursor.execute(
            _HASH.format(table=table) + " WHERE t.ctid >= %s::tid AND t.ctid < %s::tid",
            (f"({low},0)", f"({high},0)"),
        )
        return [[low, high, *cursor.fetchone()]]
    except psycopg2.Error as error:
        if high - low <= 1:
            return [[low, high, "unreadable", error.pgcode or "no answer"]]
    middle = (low + high) // 2
    return _damaged(cursor, table, low, middle) + _damaged(cursor, table, middle, high)


def _sequences(cursor: Any) -> dict[str, Any]:
    cursor.execute(_SEQUENCES)
    values = {}
    for (sequence,) in cursor.fetchall():
        cursor.execute(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608 - quoted by regclass
        values[sequence] = list(cursor.fetchone())
    return values


def differences(before: dict[str, Any], after: dict[str, Any], *, ignore: tuple[str, ...] = ()) -> list[str]:
    """Return one sentence per difference of two digests; `ignore` names parts as `identity.oid` or `rows`."""
    found = []
    for part, was in before.items():
        is_now = after[part]
        for name in sorted(was.keys() | is_now.keys()):
            if part in ignore or f"{part}.{name}" in ignore:
                continue
            old, new = was.get(name, "missing"), is_now.get(name, "missing")
            if old != new:
                found.append(f"{part} {name}: {_short(old)} became {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
