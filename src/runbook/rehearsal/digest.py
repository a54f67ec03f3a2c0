"""What a database is, in a form that two states can be compared by: never its own tools' exit codes.

A digest is plain data: `identity` (oid, owner, rights, settings, …), `schema` (a hash of every object's definition,
by name), `rows` (count and hash of each table; a damaged table is measured block by block) and `sequences`.
"""

from __future__ import annotations

from typing import Any

import psycopg2

_IDENTITY = """
SELECT d.oid::bigint, r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datconnlimit,
       d.datallowconn, t.spcname, shobj_description(d.oid, 'pg_database'),
       ARRAY(SELECT a::text FROM unnest(d.datacl) a ORDER BY 1),
       ARRAY(SELECT coalesce(s.setrole::regrole::text, '') || ': ' || c FROM pg_db_role_setting s, unnest(s.setconfig) c
             WHERE s.setdatabase = d.oid AND c NOT LIKE 'oncall_runbooks.%%' ORDER BY 1)
FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba JOIN pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = %s"""
_IDENTITY_NAMES = (
    "oid", "owner", "encoding", "collate", "ctype", "connection_limit", "allows_connections", "tablespace",
    "comment", "rights", "settings",
)  # fmt: skip

_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'"
# One row per object: name and everything that defines it. Rights are sorted: their order means nothing. NOT NULL
# constraints count with their column: their names are generated.
_SCHEMA = f"""
SELECT 'schema ' || n.nspname, concat_ws('|', n.nspowner::regrole, ARRAY(SELECT r::text FROM unnest(n.nspacl) r ORDER BY 1)::text, obj_description(n.oid))
FROM pg_namespace n WHERE {_OURS} AND n.nspname NOT LIKE 'pg\\_temp%'
UNION ALL
SELECT 'relation ' || c.oid::regclass, concat_ws('|', c.relkind, c.relowner::regrole, ARRAY(SELECT r::text FROM unnest(c.relacl) r ORDER BY 1)::text, c.relpersistence,
    c.reloptions::text, c.relispartition, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
    obj_description(c.oid, 'pg_class'),
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
    CASE WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}
UNION ALL
SELECT 'column ' || a.attrelid::regclass || '.' || a.attname, concat_ws('|', format_type(a.atttypid, a.atttypmod),
    a.attnotnull, a.attidentity, a.attgenerated, ARRAY(SELECT r::text FROM unnest(a.attacl) r ORDER BY 1)::text, pg_get_expr(f.adbin, f.adrelid),
    col_description(a.attrelid, a.attnum))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS}
UNION ALL
SELECT 'constraint ' || o.conrelid::regclass || '.' || o.conname, concat_ws('|', pg_get_constraintdef(o.oid),
    o.convalidated) FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace WHERE o.contype <> 'n' AND {_OURS}
UNION ALL
SELECT 'function ' || p.oid::regprocedure, concat_ws('|', p.proowner::regrole, ARRAY(SELECT r::text FROM unnest(p.proacl) r ORDER BY 1)::text, p.prosrc)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS}
UNION ALL
SELECT 'trigger ' || t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid) || t.tgenabled::text
FROM pg_trigger t WHERE NOT t.tgisinternal
UNION ALL
SELECT 'type ' || t.oid::regtype, concat_ws('|', t.typtype, t.typowner::regrole, ARRAY(SELECT r::text FROM unnest(t.typacl) r ORDER BY 1)::text,
    ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)::text)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd') AND {_OURS}
UNION ALL
SELECT 'extension ' || extname, extversion FROM pg_extension
UNION ALL
SELECT 'statistics ' || s.oid::regclass, pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s
UNION ALL
SELECT 'default rights ' || concat_ws(' ', d.defaclrole::regrole, n.nspname, d.defaclobjtype), ARRAY(SELECT r::text FROM unnest(d.defaclacl) r ORDER BY 1)::text
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
"""
_TABLES = f"""
SELECT c.oid::regclass::text, pg_relation_size(c.oid) / current_setting('block_size')::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND {_OURS} ORDER BY 1"""
_SEQUENCES = f"""
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND {_OURS} ORDER BY 1"""
_HASH = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {table} t"


def take(connection: Any) -> dict[str, Any]:
    """Return the digest of the database that `connection` (psycopg2, superuser) is in; nothing is written."""
    connection.rollback()
    connection.autocommit = True
    with connection.cursor() as cursor:
        # Names come out qualified, and values in one format, whatever the database's own settings are.
        for setting in ("search_path = ''", "timezone = 'UTC'", "extra_float_digits = 3", "statement_timeout = 0"):
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
    cursor.execute(
        f"SELECT x.name, md5(coalesce(x.definition, '')) FROM ({_SCHEMA}) AS x (name, definition) ORDER BY 1, 2"  # noqa: S608
    )
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
    for part in before:
        if part in ignore:
            continue
        for name in sorted(before[part].keys() | after[part].keys()):
            if f"{part}.{name}" in ignore:
                continue
            old, new = before[part].get(name, "missing"), after[part].get(name, "missing")
            if old != new:
                found.append(f"{part} {name}: {_short(old)} became {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
