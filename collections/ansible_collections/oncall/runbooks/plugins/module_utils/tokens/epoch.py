# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The epoch: the one value "tokens issued before this are void" that an application checks by itself."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Relation,
    find,
    require,
    split_name,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.scope import Scope
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TIMES

# How a moment is written into a column, by the type of the column.
_SECONDS = ("integer", "bigint", "numeric")
_TEXTS = ("text", "character varying")


@dataclass(frozen=True)
class Epoch(Relation):
    """One column of the row (or rows) that `where` names."""

    column: str
    where: Mapping[str, str] = field(default_factory=dict)
    subscriber: str = ""
    types: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_option(cls, option: Optional[Mapping[str, Any]], scope: Scope) -> Optional["Epoch"]:
        """Return the epoch to set, None when none is declared or none fits the scope.

        Raises UsageError when it would lock out those that are to be kept.
        """
        if not option or not option.get("table"):
            return None
        subscriber = option.get("subscriber") or ""
        if scope.kind == "session_ids" or (scope.kind == "subscriber") != bool(subscriber):
            return None
        where = {name: str(value) for name, value in (option.get("where") or {}).items()}
        epoch = cls(*split_name(option["table"]), option["column"], where, subscriber)
        if scope.keeps:
            raise UsageError(
                "set the epoch",
                on=epoch.place,
                got="it makes the excluded tokens void too: %s" % scope.keep_reason,
                next_step="leave epoch out for this run, or leave exclude out",
            )
        if subscriber:
            epoch = replace(epoch, where=dict(where, **{subscriber: scope.subscriber}))
        return epoch

    def _condition(self) -> Any:
        parts = [
            pg.statement("{} = {}::{}", pg.ident(name), value, pg.raw(self.types[name]))
            for name, value in self.where.items()
        ]
        return pg.raw(" AND ").join([*parts, pg.raw("true")])

    def _read(self, session: Any) -> List[Any]:
        query = "SELECT {}::text FROM {} WHERE {} LIMIT 2"
        return pg.rows(session, pg.statement(query, pg.ident(self.column), self.ident, self._condition()))

    def plan(self, reader: Any, scope: Scope) -> Dict[str, Any]:
        """Return what would be done: place, value before, value after, and whether they differ.

        An epoch that is later already is left alone.
        """
        found = self._read(reader)
        if len(found) != 1:
            raise UsageError(
                "set the epoch",
                on="%s where %s" % (self.place, self._where_text()),
                got="%s row matches" % ("no" if not found else "more than one"),
                next_step="correct epoch.where so that it names the one row",
            )
        before = found[0][0]
        value, later = self._value(reader, scope, before)
        return {
            "place": "%s.%s" % (self.place, self.column),
            "before": before,
            "after": before if later else value,
            "changed": not later,
        }

    def _where_text(self) -> str:
        return ", ".join("%s = %s" % item for item in self.where.items()) or "(every row)"

    def _value(self, reader: Any, scope: Scope, before: Optional[str]) -> Any:
        moment = pg.literal(scope.issued_before) if scope.issued_before else pg.raw("clock_timestamp()")
        base = self.types[self.column]
        template = "SELECT v::text, coalesce({}::{} >= v, false) FROM (SELECT ({})::{} AS v) x"
        if base in TIMES:
            made = pg.statement("{}::timestamptz", moment)
        elif base in _SECONDS:
            # Seconds since 1970, as tokens carry their time; a token of this very second is void too.
            made = pg.statement("ceil(extract(epoch FROM {}::timestamptz))", moment)
        else:
            made = pg.statement(
                "to_char({}::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", moment
            )
        typed = pg.raw(base)
        return pg.rows(reader, pg.statement(template, before, typed, made, typed))[0]

    def apply(self, writer: Any, plan: Mapping[str, Any]) -> bool:
        """Set the value, if it is still what it was; return whether it was set."""
        return self._swap(writer, plan["before"], plan["after"])

    def restore(self, writer: Any, plan: Mapping[str, Any]) -> bool:
        """Set the value back, if it is still ours; return whether it was."""
        return self._swap(writer, plan["after"], plan["before"])

    def _swap(self, writer: Any, old: Optional[str], new: Optional[str]) -> bool:
        column, typed = pg.ident(self.column), pg.raw(self.types[self.column])
        change = pg.statement(
            "UPDATE {} SET {} = {}::{} WHERE {} AND {} IS NOT DISTINCT FROM {}::{} RETURNING 1",
            self.ident, column, new, typed, self._condition(), column, old, typed,
        )  # fmt: skip
        return bool(pg.rows(writer, change))

    def current(self, reader: Any) -> Optional[str]:
        """Return the value as it is, None also when its row is gone."""
        found = self._read(reader)
        return found[0][0] if found else None

    def as_option(self) -> Dict[str, Any]:
        """The epoch for a ledger: `from_ledger` makes it again."""
        return {"table": self.place, "column": self.column, "where": dict(self.where)}

    @classmethod
    def from_ledger(cls, option: Mapping[str, Any]) -> "Epoch":
        """Return the epoch that a ledger tells of."""
        return cls(*split_name(option["table"]), option["column"], dict(option["where"]))


def describe(connection: Any, epoch: Epoch) -> Epoch:
    """Return the epoch with the types of its columns; raises when it is not as declared."""
    _oid, columns = find(connection, epoch)
    require(connection, epoch, columns, [epoch.column, *epoch.where], [epoch.column])
    base = columns[epoch.column].type_text
    if base not in TIMES + _SECONDS + _TEXTS:
        got = "column %s is of type %s" % (epoch.column, base)
        raise epoch.wrong("wrong_type", got, "name a column that holds a time, seconds since 1970, or a text")
    return replace(epoch, types={name: columns[name].type_text for name in (epoch.column, *epoch.where)})
