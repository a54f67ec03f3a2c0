# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The data-loss meter: what the live database has that a backup of a given time cannot have."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

_PER_TABLE = 2.0  # seconds for one count
_IN_ALL = 8.0  # seconds for all counts together: an incident does not wait for a statistic
UNREADABLE = "it cannot be read: "  # how the note of a damaged table begins
_CANCELED = "57014"  # what the server calls a statement over its time limit

# Columns that say when a row came or changed, found in the catalog by name and type.
_COLUMNS = """
SELECT c.oid::regclass::text, array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum), max(c.reltuples)::bigint
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
  AND a.attname ~* '^(created|updated|inserted|modified|changed|issued|occurred|logged|started|added)'
GROUP BY c.oid ORDER BY max(c.reltuples)
"""


def measure(login: pg.Login, database: str, backup_at: float, now: float) -> Dict[str, Any]:
    """Return the backup's age and, where the live database answers, its newer rows per table.

    `backup_at` and `now` are Unix times. A table that could not be counted in time says so; a live database
    that does not answer is no error: that is why one restores.
    """
    age = round(now - backup_at) if backup_at else None
    loss: Dict[str, Any] = {"backup_age_s": age, "window_s": age, "tables": []}
    _look(login, database, backup_at, loss)
    known = [table["rows_newer"] for table in loss["tables"] if table["rows_newer"] is not None]
    loss["rows_newer_total"] = sum(known) if known else None
    loss["tables_not_counted"] = len(loss["tables"]) - len(known)
    loss["summary"] = summary(loss)
    return loss


def _look(login: pg.Login, database: str, backup_at: float, loss: Dict[str, Any]) -> None:
    try:
        connection = login.connect(database, timeout=5)
    except OncallError as error:
        loss["live"] = "does not answer: " + error.got
        return
    try:
        loss["live"] = "answers"
        if backup_at:
            loss["tables"] = _count_tables(connection, backup_at)
    except pg.Error as error:
        loss["live"] = "cannot be read: " + " ".join(str(error).split())
    finally:
        connection.close()


def summary(loss: Mapping[str, Any]) -> str:
    """Return the loss in one sentence: `5 h 2 min; at least 780 rows newer in 4 of 6 tables; ...`."""
    parts = [_span(loss["window_s"]) if loss["window_s"] is not None else "the backup's age is not known"]
    tables, missing = loss["tables"], loss["tables_not_counted"]
    if tables and len(tables) > missing:
        touched = sum(1 for table in tables if table["rows_newer"])
        least = "at least " if missing else ""
        total = format(loss["rows_newer_total"], ",")
        parts.append("%s%s rows newer in %d of %d tables" % (least, total, touched, len(tables)))
    if missing:
        unread = sum(1 for table in tables if UNREADABLE in table.get("note", ""))
        for count, what in (
            (unread, "could not be read"),
            (missing - unread, "could not be counted in time"),
        ):
            parts += ["%d table%s %s" % (count, "" if count == 1 else "s", what)] if count else []
    if loss["live"] != "answers":
        parts.append("the live database " + loss["live"].partition(":")[0])
    elif not tables:
        parts.append("no table says when its rows came")
    return "; ".join(parts)


def _span(seconds: int) -> str:
    """Return a span of time in its two largest units: `5 h 2 min`."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left = max(seconds, 0)
    told: List[str] = []
    for name, size in units:
        if left >= size and len(told) < 2:
            told.append("%d %s" % (left // size, name))
            left %= size
        elif told:
            break
    return " ".join(told) or "0 s"


def _count_tables(connection: Any, backup_at: float) -> List[Dict[str, Any]]:
    pg.rows(connection, "SET default_transaction_read_only = on")
    pg.rows(connection, "SET statement_timeout = %d" % int(_PER_TABLE * 1000))
    deadline = time.monotonic() + _IN_ALL
    found = []
    for table, columns, types, estimate in pg.rows(connection, _COLUMNS):
        counted, why = None, "the time for counting was over"
        if time.monotonic() < deadline:
            kinds = dict(zip(columns, types))  # noqa: B905 - Python 3.8 has no strict
            counted, why = _count(connection, table, kinds, backup_at)
        found.append(_entry(table, columns, counted, why, estimate))
    return found


def _count(connection: Any, table: str, kinds: Dict[str, str], backup_at: float) -> Tuple[Optional[int], str]:
    """Return the number of newer rows, or None and why it could not be counted: slow, locked or damaged."""
    tests, parameters = [], []
    for column, kind in kinds.items():
        plain = "timestamp without time zone" in kind
        tests.append("{} > to_timestamp({})" + (" AT TIME ZONE 'UTC'" if plain else ""))
        parameters += [pg.ident(column), backup_at]
    newer = pg.statement(" OR ".join(tests), *parameters)
    query = pg.statement("SELECT count(*) FROM {} WHERE {}", pg.raw(table), newer)
    try:
        return int(pg.value(connection, query)), ""
    except pg.Error as error:
        if error.pgcode is None:
            raise
        if error.pgcode == _CANCELED:
            return None, "counting took more than %g s" % _PER_TABLE
        return None, UNREADABLE + " ".join(str(error).split("\n", maxsplit=1)[0].split())


def _entry(
    table: str, columns: Sequence[str], counted: Optional[int], why: str, estimate: int
) -> Dict[str, Any]:
    entry: Dict[str, Any] = {"table": table, "columns": list(columns), "rows_newer": counted}
    if counted is None:
        entry["note"] = "%s; it has about %d rows in all" % (why, max(estimate, 0))
    return entry
