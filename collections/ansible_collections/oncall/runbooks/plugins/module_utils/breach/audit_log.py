# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An application's audit log: its table as declared, and the questions a breach asks of it."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Relation,
    find,
    require,
    split_name,
)

#: the columns that the option `columns` may map
COLUMNS = ("created_at", "actor_type", "actor_id", "action", "address", "resource_type", "subject")
# Without one of the others nothing suspicious would be found, and that would look like a quiet day.
_MAY_BE_MISSING = ("address", "resource_type", "subject")
# Rows of the window, with the declared columns under one set of names; NULL for a column that is not there.
_WINDOW = """
SELECT {created_at} AS at, {actor_type}::text AS actor_type, {actor_id}::text AS actor_id,
       {action}::text AS action, {address}::text AS address, {resource_type}::text AS resource,
       {subject}::text AS subject
FROM {table}
"""
_SUMMARY = """
SELECT count(*), min(at), max(at), count(DISTINCT (actor_type, actor_id))
FROM ({rows}) w WHERE at >= {since} AND at < {until}
"""
# Who did what of an administrator's kind, from where, and whether that address was the actor's before.
_ADMINS = """
WITH w AS (SELECT * FROM ({rows}) r WHERE actor_type = ANY({admin_types})),
now AS (SELECT * FROM w WHERE at >= {since} AND at < {until}),
known AS (SELECT DISTINCT actor_id, address FROM w WHERE at < {since} AND at >= {history})
SELECT n.actor_type, n.actor_id, n.address, min(n.at), max(n.at), count(*),
       array_agg(DISTINCT n.action), array_agg(DISTINCT n.resource) FILTER (WHERE n.resource IS NOT NULL),
       EXISTS (SELECT 1 FROM known k WHERE k.actor_id IS NOT DISTINCT FROM n.actor_id),
       n.address IS NULL
       OR EXISTS (SELECT 1 FROM known k
                  WHERE k.actor_id IS NOT DISTINCT FROM n.actor_id AND k.address = n.address)
FROM now n GROUP BY n.actor_type, n.actor_id, n.address ORDER BY min(n.at)
"""
_BURSTS = """
SELECT actor_type, actor_id, date_trunc('hour', at), count(*), count(DISTINCT subject)
FROM ({rows}) w WHERE at >= {since} AND at < {until} AND action = ANY({sensitive})
GROUP BY 1, 2, 3 HAVING count(*) > {limit} ORDER BY 4 DESC LIMIT 50
"""
_SUSPECTS = """
SELECT count(*), min(at), max(at),
       array_agg(DISTINCT resource) FILTER (WHERE resource IS NOT NULL), array_agg(DISTINCT action),
       array_agg(DISTINCT address) FILTER (WHERE address IS NOT NULL),
       array_agg(DISTINCT subject) FILTER (WHERE subject IS NOT NULL)
FROM ({rows}) w
WHERE at >= {since} AND at < {until} AND (actor_id = ANY({actors}) OR address = ANY({addresses}))
"""


@dataclass(frozen=True)
class Window:
    """The time that is looked at, as ISO 8601 texts; `history` is where the look back for habits begins."""

    since: str
    until: str
    history: str


@dataclass(frozen=True)
class AdminActivity:
    """What one administrator did from one address within the window."""

    actor_type: str
    actor_id: str
    address: str
    first: Any
    last: Any
    actions: int
    kinds: Sequence[str]
    resources: Sequence[str]
    seen_before: bool
    address_seen_before: bool


@dataclass(frozen=True)
class Burst:
    """Many sensitive actions of one actor within the hour that begins at `hour`."""

    actor_type: str
    actor_id: str
    hour: Any
    actions: int
    subjects: int


@dataclass(frozen=True)
class SuspectActivity:
    """What the suspects did, taken together."""

    actions: int
    first: Any
    last: Any
    resources: Sequence[str]
    kinds: Sequence[str]
    addresses: Sequence[str]
    subject_ids: Sequence[str]


@dataclass(frozen=True)
class AuditLog(Relation):
    """The declared table; `columns` maps our names to its columns, `subject_key` is a key of JSON."""

    columns: Mapping[str, str]
    subject_key: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "AuditLog":
        """Return the audit log that the module options declare; raises UsageError."""
        named = {name: text for name, text in params["columns"].items() if text}
        missing = [name for name in COLUMNS if name not in named and name not in _MAY_BE_MISSING]
        if missing:
            raise UsageError(
                "read the audit log",
                on=params["table"],
                got="the option columns names no column for %s" % ", ".join(missing),
                next_step="set columns.%s to the table's column" % missing[0],
            )
        return cls(*split_name(params["table"]), named, params.get("subject_key") or "")

    def check(self, connection: Any) -> None:
        """Raise an OncallError unless the table is there with its columns, readable in full."""
        _oid, columns = find(connection, self)
        require(connection, self, columns, list(self.columns.values()))

    def summary(self, connection: Any, window: Window) -> Tuple[int, Any, Any, int]:
        """Return rows, first time, last time and number of actors of the window."""
        rows, first, last, actors = self._ask(connection, _SUMMARY, window)[0]
        return rows, first, last, actors

    def begins(self, connection: Any) -> Any:
        """Return the time of the oldest entry, None when there is none."""
        query = "SELECT min({}) FROM {}"
        return pg.value(connection, pg.statement(query, pg.ident(self.columns["created_at"]), self.ident))

    def admins(self, connection: Any, window: Window, admin_types: Sequence[str]) -> List[AdminActivity]:
        """Return what administrators did, one entry for each actor and address."""
        found = self._ask(connection, _ADMINS, window, admin_types=list(admin_types))
        return [AdminActivity(*row) for row in found]

    def bursts(self, connection: Any, window: Window, sensitive: Sequence[str], limit: int) -> List[Burst]:
        """Return where an actor did more than `limit` sensitive actions within an hour, the largest first."""
        found = self._ask(connection, _BURSTS, window, sensitive=list(sensitive), limit=limit)
        return [Burst(*row) for row in found]

    def suspects(
        self, connection: Any, window: Window, actors: Sequence[str], addresses: Sequence[str]
    ) -> SuspectActivity:
        """Return what the given actors, or anybody from the given addresses, did."""
        found = self._ask(connection, _SUSPECTS, window, actors=list(actors), addresses=list(addresses))
        counted, first, last, *lists = found[0]
        return SuspectActivity(counted, first, last, *[sorted(one or []) for one in lists])

    def _ask(self, connection: Any, template: str, window: Window, **values: Any) -> List[Tuple[Any, ...]]:
        known = dict(vars(window), **values)
        parts: Dict[str, Any] = {name: pg.literal(value) for name, value in known.items()}
        return pg.rows(connection, pg.raw(template).format(rows=self._rows(), **parts))

    def _rows(self) -> Any:
        parts = {name: self._column(name) for name in COLUMNS}
        return pg.raw(_WINDOW).format(table=self.ident, **parts)

    def _column(self, name: str) -> Any:
        if name not in self.columns:
            return pg.raw("NULL")
        column = pg.ident(self.columns[name])
        if name == "subject" and self.subject_key:
            return pg.raw("({} ->> {})").format(column, pg.literal(self.subject_key))
        if name == "address":
            # An inet may print its netmask; a text has none to take off.
            return pg.raw("split_part({}::text, '/', 1)").format(column)
        return column
