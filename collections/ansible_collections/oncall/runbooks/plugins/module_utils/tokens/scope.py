# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tokens are meant: the scope that was asked for, and the ones that must stay."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import parse_time
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import require_fit
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TokenTable

KINDS = ("all", "subscriber", "issued_before", "session_ids")
# What each scope, and each kind of exclusion, needs to know of a table.
_NEEDS = {"subscriber": "subscriber", "issued_before": "created_at"}


@dataclass(frozen=True)
class Scope:
    """Tokens that are meant, as plain values; subscribers are ids."""

    kind: str
    subscriber: str = ""
    issued_before: str = ""
    session_ids: Tuple[str, ...] = ()
    keep_subscribers: Tuple[str, ...] = ()
    keep_sessions: Tuple[str, ...] = ()
    keep_reason: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Scope":
        """Return what the module options ask for; raises UsageError when they do not fit together."""
        kind = params["scope"]
        given = {name: params.get(name) for name in KINDS[1:]}
        other = [name for name, value in given.items() if value and name != kind]
        if other:
            _refuse("%s is given, but scope is %s" % (", ".join(other), kind), "set scope, or leave that out")
        if kind != "all" and not given[kind]:
            _refuse("scope is %s, but %s is not given" % (kind, kind), "set %s" % kind)
        exclude = params.get("exclude") or {}
        keep = tuple(exclude.get("subscribers") or ()), tuple(exclude.get("session_ids") or ())
        if any(keep) and not exclude.get("reason"):
            _refuse(
                "exclude has no reason", "say in exclude.reason why these stay, for whoever reads it later"
            )
        before = params.get("issued_before") or ""
        return cls(
            kind,
            str(given["subscriber"] or ""),
            parse_time(before, option="issued_before").isoformat() if before else "",
            tuple(given["session_ids"] or ()),
            *keep,
            exclude.get("reason") or "",
        )

    @property
    def keeps(self) -> bool:
        """Whether some tokens in scope must stay."""
        return bool(self.keep_subscribers or self.keep_sessions)

    @property
    def text(self) -> str:
        """The scope for people."""
        texts = {
            "all": "all tokens",
            "subscriber": "tokens of subscriber %s" % self.subscriber,
            "issued_before": "tokens issued before %s" % self.issued_before,
            "session_ids": "tokens of %d sessions" % len(self.session_ids),
        }
        return texts[self.kind] + (" but the excluded ones" if self.keeps else "")

    def as_dict(self) -> Dict[str, Any]:
        """The scope for a ledger and for the result."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def concerns(self, table: TokenTable) -> bool:
        """Whether the table can hold tokens in scope."""
        return self.kind != "session_ids" or bool(table.session)

    def condition(self, table: TokenTable) -> Any:
        """SQL: the row is meant by the scope, whether excluded or not."""
        if self.kind == "subscriber":
            return _is_one_of(table, table.subscriber, [self.subscriber])
        if self.kind == "session_ids":
            return _is_one_of(table, table.session, self.session_ids)
        if self.kind == "issued_before":
            column = pg.ident(table.created_at)
            # Nothing proves that a token without a time was issued later.
            return pg.statement("({} < {}::timestamptz OR {} IS NULL)", column, self.issued_before, column)
        return pg.raw("true")

    def kept(self, table: TokenTable) -> Any:
        """SQL: the row is excluded. Never NULL."""
        parts = []
        if self.keep_subscribers:
            parts.append(_is_one_of(table, table.subscriber, self.keep_subscribers))
        if self.keep_sessions and table.session:
            parts.append(_is_one_of(table, table.session, self.keep_sessions))
        if not parts:
            return pg.raw("false")
        return pg.statement("coalesce({}, false)", pg.raw(" OR ").join(parts))

    def target(self, table: TokenTable) -> Any:
        """SQL: the row is to be revoked as long as it is active."""
        target = self.condition(table)
        if self.keeps:
            target = pg.statement("{} AND NOT {}", target, self.kept(table))
        return target


def _refuse(got: str, next_step: str) -> None:
    raise UsageError("choose the tokens", got=got, next_step=next_step)


def _is_one_of(table: TokenTable, column: str, values: Sequence[str]) -> Any:
    array = pg.statement("{}::text[]::{}[]", list(values), table.typed(column))
    return pg.statement("{} = ANY ({})", pg.ident(column), array)


def check(connection: Any, scope: Scope, tables: Sequence[TokenTable], *, directory: bool) -> None:
    """Raise UsageError unless every table knows what the scope needs, and every value fits its column.

    Without a `directory` that was asked already, a subscriber is known by having tokens.
    """
    _require_columns(scope, tables)
    for table in tables:
        if scope.kind == "subscriber":
            _fit(connection, table, table.subscriber, [scope.subscriber], "subscriber")
        if scope.keep_subscribers:
            _fit(connection, table, table.subscriber, scope.keep_subscribers, "exclude.subscribers")
        if table.session:
            _fit(connection, table, table.session, scope.session_ids, "session_ids")
            _fit(connection, table, table.session, scope.keep_sessions, "exclude.session_ids")
    if scope.kind == "issued_before":
        _check_clock(connection, scope, tables)
    if not directory:
        _exist(connection, tables, "subscriber", [scope.subscriber] if scope.subscriber else [], "subscriber")
        _exist(connection, tables, "subscriber", scope.keep_subscribers, "exclude.subscribers")
    for option, ids in (("session_ids", scope.session_ids), ("exclude.session_ids", scope.keep_sessions)):
        _exist(connection, tables, "session", ids, option)


def _require_columns(scope: Scope, tables: Sequence[TokenTable]) -> None:
    needed = [name for kind, name in _NEEDS.items() if scope.kind == kind]
    needed += ["subscriber"] if scope.keep_subscribers else []
    for table in tables:
        lacking = [name for name in needed if not getattr(table, name)]
        if lacking:
            step = "declare the column %s of this table" % lacking[0]
            raise UsageError(
                "choose the tokens", on=table.place, got="the table says no %s" % lacking[0], next_step=step
            )
    sessions = scope.kind == "session_ids" or scope.keep_sessions
    if sessions and not any(table.session for table in tables):
        _refuse(
            "no table declares a session column", "declare the column session of the tables that have one"
        )


def _fit(connection: Any, table: TokenTable, column: str, values: Sequence[str], option: str) -> None:
    for value in values:
        require_fit(connection, table, (column, table.types[column]), value, option)


def _exist(connection: Any, tables: Sequence[TokenTable], name: str, ids: Sequence[str], option: str) -> None:
    """Refuse an id that no table knows: a typing error would revoke too little, or the responder's own."""
    missing = set(ids)
    for table in tables:
        column = getattr(table, name)
        if missing and column:
            found = pg.statement(
                "SELECT DISTINCT given FROM unnest({}::text[]) AS given "
                "WHERE EXISTS (SELECT 1 FROM {} WHERE {} = given::{})",
                sorted(missing), table.ident, pg.ident(column), table.typed(column),
            )  # fmt: skip
            missing -= {row[0] for row in pg.rows(connection, found)}
    if missing:
        raise UsageError(
            "choose the tokens",
            on="%s %s" % (option, ", ".join(sorted(missing))),
            got="no table has such a %s" % name,
            next_step="correct %s" % option,
        )


def _check_clock(connection: Any, scope: Scope, tables: Sequence[TokenTable]) -> None:
    """Refuse a time that the server has not seen yet, and issuers whose clock runs ahead of it."""
    late = pg.statement("SELECT clock_timestamp()::text, {}::timestamptz > now()", scope.issued_before)
    now, future = pg.rows(connection, late)[0]
    if future:
        raise UsageError(
            "choose the tokens",
            on="issued_before %s" % scope.issued_before,
            got="that is in the future: the database's clock says %s" % now,
            next_step="compare both clocks, then set a time that has passed, or scope: all",
        )
    for table in tables:
        column = pg.ident(table.created_at)
        ahead = pg.statement(
            "SELECT count(*), max({})::text FROM {} WHERE {} IS NULL AND {} > now() + interval '1 minute'",
            column, table.ident, pg.ident(table.revoked_at), column,
        )  # fmt: skip
        count, last = pg.rows(connection, ahead)[0]
        if count:
            raise UsageError(
                "tell which tokens were issued before %s" % scope.issued_before,
                on=table.place,
                got="%d active tokens were issued in the future, up to %s: their issuer's clock runs ahead "
                "of the database's (%s)" % (count, last, now),
                next_step="correct the clock of whoever issues tokens; to revoke now, use scope: all",
            )
