# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change of one row, its values before and after as texts: predicted, made and taken back alike."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import split_name

Values = Dict[str, Optional[str]]


def texts(columns: Sequence[str]) -> Any:
    """Return the columns as texts, for a statement."""
    return pg.raw(", ").join([pg.statement("{}::text", pg.ident(name)) for name in columns])


def by_name(columns: Sequence[str], row: Sequence[Any]) -> Dict[str, Any]:
    """Return a row by the names of its columns."""
    return dict(zip(columns, row))  # noqa: B905 - Python 3.8


@dataclass(frozen=True)
class Change:
    """One row: its key, and what its columns were and become (None is NULL)."""

    table: str
    key: Mapping[str, str]
    before: Values
    after: Values
    token: bool = False

    @classmethod
    def from_ledger(cls, entry: Mapping[str, Any]) -> "Change":
        """Return the change that an entry of a ledger describes."""
        try:
            columns = {name: dict(entry[name]) for name in ("key", "before", "after")}
            return cls(str(entry["table"]), token=bool(entry.get("token")), **columns)
        except (KeyError, TypeError, ValueError) as error:
            raise OncallError(
                "read the ledger",
                got="an entry is not as it was written (%s)" % error,
                next_step="give what the activation returned as undo.args.ledger, unchanged",
                kind="ledger",
            ) from None

    def as_entry(self) -> Dict[str, Any]:
        """The change for a ledger."""
        return {
            "table": self.table,
            "key": dict(self.key),
            "before": self.before,
            "after": self.after,
            "token": self.token,
        }

    @property
    def back(self) -> "Change":
        """The change that takes this one back."""
        return Change(self.table, self.key, self.after, self.before, self.token)

    def line(self, values: Values) -> str:
        """One line of a diff."""
        key = ", ".join("%s %s" % (name, value) for name, value in self.key.items())
        shown = ", ".join(
            "%s=%s" % (name, "NULL" if value is None else value) for name, value in sorted(values.items())
        )
        return "%s %s: %s\n" % (self.table, key, shown)


def diff(changes: Sequence[Change]) -> Dict[str, str]:
    """Return the rows before and after, the same text in check mode and for real."""
    return {
        "before": "".join(c.line(c.before) for c in changes),
        "after": "".join(c.line(c.after) for c in changes),
    }


def current(connection: Any, change: Change) -> Optional[Values]:
    """Return what the columns of the row hold now, None when the row is gone."""
    columns = list(change.before)
    query = pg.statement(
        "SELECT {} FROM {} WHERE {}",
        texts(columns),
        pg.ident(*split_name(change.table)),
        _is(change.key),
    )
    found = pg.rows(connection, query)
    return by_name(columns, found[0]) if found else None


def make(connection: Any, change: Change) -> Change:
    """Write the change and return it as the server keeps it; exactly one row, or it raises."""
    columns = list(change.after)
    assigned = [pg.statement("{} = {}", pg.ident(name), change.after[name]) for name in columns]
    query = pg.statement(
        "UPDATE {} SET {} WHERE {} RETURNING {}",
        pg.ident(*split_name(change.table)),
        pg.raw(", ").join(assigned),
        _is(change.key),
        texts(columns),
    )
    written = pg.rows(connection, query)
    if len(written) != 1:
        raise ConflictError(
            "change one row",
            on=change.line(change.before).strip(),
            got="%d rows were changed, so nothing was kept" % len(written),
            next_step="name the table's primary key as its id in the inventory",
        )
    return Change(change.table, change.key, change.before, by_name(columns, written[0]), change.token)


def lock(connection: Any, table: Any, column: str, values: Sequence[str]) -> None:
    """Lock the rows whose `column` is one of `values`, in one order, so that two never deadlock."""
    if values:
        query = pg.statement(
            "SELECT 1 FROM {} WHERE {} IN %s ORDER BY {} FOR UPDATE",
            table,
            pg.ident(column),
            pg.ident(column),
        )
        pg.rows(connection, query, (tuple(values),))


def _is(key: Mapping[str, str]) -> Any:
    pairs = [pg.statement("{} = {}", pg.ident(name), value) for name, value in key.items()]
    return pg.raw(" AND ").join(pairs)


def restorable(connection: Any, ledger: Sequence[Change]) -> List[Change]:
    """Return the changes that are still to be taken back, in their order, the last one first.

    A row that is as it was before needs nothing. A token that was changed since (revoked again) stays.
    Raises ConflictError when another row was changed since: then nothing is taken back.
    """
    wanted: List[Change] = []
    for change in reversed(ledger):
        now = current(connection, change)
        if now == change.before or (change.token and now != change.after):
            continue
        if now != change.after:
            raise ConflictError(
                "take back the activation",
                on=change.line(change.after).strip(),
                got="the row is %s now" % ("gone" if now is None else change.line(now).strip()),
                next_step="somebody changed it since; look at it by hand (nothing was changed)",
                kind="changed_since",
            )
        wanted.append(change.back)
    return wanted
