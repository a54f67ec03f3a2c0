# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holding a backup against the live database: what it lacks, and whether it is of this database at all."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Dict, List, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.events import DumpHeader
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions

_SHARED = 0.5  # of the live database's tables that its backup has at least
_SHOWN = 5  # tables named in a message
_COUNT_UP_TO = 8 * 1024 * 1024  # bytes of a table that is counted; a larger one is estimated
_PER_TABLE = 1000  # milliseconds for one count
_IN_ALL = 3.0  # seconds for all counts: the switch waits for them
_OPTION = "set allow_other_database: true when it is the right one all the same"

# Tables of the application with what the server believes of their rows; quoted as SQL would name them.
_TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind = 'p',
       CASE c.relkind WHEN 'p' THEN 0 ELSE pg_relation_size(c.oid) END,
       greatest(coalesce(pg_stat_get_live_tuples(c.oid), 0), c.reltuples, 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""


def tables_of(login: pg.Login, database: str) -> Optional[List[str]]:
    """Return the tables of a database, None when it does not answer or cannot be read."""
    try:
        connection = login.connect(database, timeout=5, options="-c statement_timeout=5000")
    except OncallError:
        return None
    try:
        return [row[0] for row in pg.rows(connection, _TABLES)]
    except pg.Error:
        return None
    finally:
        connection.close()


def check_header(header: DumpHeader, options: RestoreOptions, live: Optional[Sequence[str]]) -> None:
    """Refuse a backup whose own head says that it is of another database; raises ConflictError.

    The caller's checks prove more than a name; an archive's list of tables is held against the live ones.
    """
    if options.allow_other_database:
        return
    if header.database and header.database != options.database and not options.checks:
        raise ConflictError(
            "take %s for a backup of %s" % (options.key, options.database),
            got="its head says that it is of the database %s" % header.database,
            next_step="choose another backup with key or before, give checks that prove its content, or "
            + _OPTION,
            kind="other_database",
        )
    # The head of a plain dump lists its first tables only; before a drop even that has to fit.
    stranger = options.in_place and header.tables and not set(header.tables) & set(live or ())
    if header.complete_list or stranger:
        refuse_stranger(options, live, header.tables)


def refuse_stranger(
    options: RestoreOptions, live: Optional[Sequence[str]], restored: Sequence[str], left: str = ""
) -> None:
    """Raise ConflictError when a backup has less than half of the tables that the live database has."""
    if options.allow_other_database or not live:
        return
    shared = set(live) & set(restored)
    if len(shared) >= len(live) * _SHARED:
        return
    raise ConflictError(
        "take %s for a backup of %s" % (options.key, options.database),
        got="it has %d of the %d tables that are live; live: %s; in the backup: %s"
        % (len(shared), len(live), _some(live), _some(restored) or "none"),
        next_step="the live database is untouched%s; choose another backup with key or before, or %s"
        % (left, _OPTION),
        kind="other_database",
    )


def _some(names: Sequence[str]) -> str:
    more = ", and %d more" % (len(names) - _SHOWN) if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more


def compare(
    options: RestoreOptions, restored: str, counted: Dict[str, int], live: Optional[Sequence[str]]
) -> Dict[str, Any]:
    """Return how the restored database differs from the live one, table by table, where that answers.

    `counted` are rows per table as the dump writes its name, `live` the tables that were live at the first
    look. Rows of a large live table are the server's own estimate (`exact` says which). Raises ConflictError
    when it is a stranger.
    """
    there = tables_of(options.login, restored) or []
    refuse_stranger(options, live, there)
    try:
        connection = options.login.connect(options.database, timeout=5)
    except OncallError as error:
        return {"live": "does not answer: " + error.got}
    try:
        pg.rows(connection, "SET default_transaction_read_only = on")
        pg.rows(connection, "SET statement_timeout = %d" % _PER_TABLE)
        return _differences(connection, pg.rows(connection, _TABLES), there, counted)
    except pg.Error as error:
        return {"live": "cannot be read: " + " ".join(str(error).split())}
    finally:
        connection.close()


def _differences(
    connection: Any, live: Sequence[Any], there: Sequence[str], counted: Dict[str, int]
) -> Dict[str, Any]:
    names = {row[0] for row in live}
    deadline = time.monotonic() + _IN_ALL
    rows: List[Dict[str, Any]] = []
    for name, parted, size, estimate in live:
        if name not in counted or parted:  # pg_dump quotes names as quote_ident() does
            continue
        have = _exact(connection, name) if size <= _COUNT_UP_TO and time.monotonic() < deadline else None
        now = estimate if have is None else have
        if now != counted[name]:
            rows.append({"table": name, "live": now, "restored": counted[name], "exact": have is not None})
    return {
        "live": "answers",
        "tables_missing_in_backup": sorted(names - set(there)),
        "tables_missing_in_live": sorted(set(there) - names),
        "tables_with_other_row_counts": rows,
    }


def _exact(connection: Any, table: str) -> Optional[int]:
    try:
        return int(pg.value(connection, pg.statement("SELECT count(*) FROM ONLY {}", pg.raw(table))))
    except pg.Error as error:
        if error.pgcode is None:
            raise
        return None  # slow, locked or damaged: the estimate has to do


def warnings(comparison: Dict[str, Any]) -> List[str]:
    """Return what of a comparison an operator has to know before anybody works with the result."""
    missing = comparison.get("tables_missing_in_backup") or []
    if not missing:
        return []
    return ["the backup lacks %d table(s) that are live: %s" % (len(missing), _some(missing))]
