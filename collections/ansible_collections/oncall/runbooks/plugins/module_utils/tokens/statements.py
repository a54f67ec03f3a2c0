# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SQL that looks for tokens, revokes them and takes it back. Names and values are always quoted."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, List, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import idents
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.scope import Scope
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TokenTable

#: the key of one row, each column as text
Key = Tuple[str, ...]
_COMMA = ", "
_AND = " AND "


def active(table: TokenTable, scope: Scope) -> Any:
    """SQL condition: active, and to be revoked."""
    return pg.statement("{} IS NULL AND {}", pg.ident(table.revoked_at), scope.target(table))


def counts(table: TokenTable, scope: Scope) -> Any:
    """SQL: how many rows there are, are active, are to be revoked, and are kept although in scope."""
    unrevoked = pg.statement("{} IS NULL", pg.ident(table.revoked_at))
    kept = pg.statement("{} AND {} AND {}", unrevoked, scope.condition(table), scope.kept(table))
    return pg.statement(
        "SELECT count(*), count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {}) "
        "FROM {}",
        unrevoked, active(table, scope), kept, table.ident,
    )  # fmt: skip


def _texts(table: TokenTable) -> Any:
    return pg.raw(_COMMA).join([pg.statement("{}::text", pg.ident(name)) for name in table.key])


def _values(table: TokenTable, key: Key) -> Any:
    pairs = zip(key, table.key)  # noqa: B905 - Python 3.8
    return pg.raw(_COMMA).join([pg.statement("{}::{}", text, table.typed(name)) for text, name in pairs])


def _after(table: TokenTable, after: Optional[Key]) -> Any:
    if after is None:
        return pg.raw("true")
    return pg.statement("({}) > ({})", idents(table.key), _values(table, after))


def between(table: TokenTable, after: Optional[Key], last: Optional[Key]) -> Any:
    """SQL condition: the key is behind `after`, up to and with `last`; None is no bound."""
    if last is None:
        return _after(table, after)
    upper = pg.statement("({}) <= ({})", idents(table.key), _values(table, last))
    return pg.statement("{} AND {}", _after(table, after), upper)


def end_of_range(table: TokenTable, scope: Scope, after: Optional[Key], size: int) -> Any:
    """SQL: the key of the row `size` rows behind `after`; no row when there are fewer."""
    return pg.statement(
        "SELECT {} FROM (SELECT {} FROM {} WHERE {} AND {} ORDER BY {} OFFSET {} LIMIT 1) s",
        _texts(table), idents(table.key), table.ident, _after(table, after), active(table, scope),
        idents(table.key), size - 1,
    )  # fmt: skip


def some_keys(table: TokenTable, condition: Any, limit: int) -> Any:
    """SQL: keys of at most `limit` rows, in whatever order comes cheapest."""
    return pg.statement("SELECT {} FROM {} WHERE {} LIMIT {}", _texts(table), table.ident, condition, limit)


def _assignments(table: TokenTable, reason: str) -> Any:
    # A subquery is evaluated once, after the snapshot: all rows get one time, and none is older than its row.
    parts = [pg.statement("{} = (SELECT clock_timestamp())", pg.ident(table.revoked_at))]
    if table.reason:
        parts.append(pg.statement("{} = {}::{}", pg.ident(table.reason), reason, table.typed(table.reason)))
    return pg.raw(_COMMA).join(parts)


def _returned(table: TokenTable, before: Any) -> Any:
    keys = [
        pg.statement("target.{} AS {}", pg.ident(name), pg.ident("k%d" % at))
        for at, name in enumerate(table.key)
    ]
    reason = pg.statement("target.{}::text", pg.ident(table.reason)) if table.reason else pg.raw("NULL::text")
    stamp = pg.statement("target.{} AS stamp", pg.ident(table.revoked_at))
    parts = [*keys, stamp, pg.statement("{} AS reason", reason), pg.statement("{} AS before", before)]
    return pg.raw(_COMMA).join(parts)


def revoke_range(
    table: TokenTable, scope: Scope, reason: str, after: Optional[Key], last: Optional[Key]
) -> Any:
    """SQL of the CTE `done`: revoke a range of keys whose reason is still blank: no pre-image is needed."""
    where = pg.statement("{} AND {}", between(table, after, last), active(table, scope))
    if table.reason:
        blank = "= ''" if table.blank == "" else "IS NULL"
        where = pg.statement("{} AND {} {}", where, pg.ident(table.reason), pg.raw(blank))
    return pg.statement(
        "WITH done AS (UPDATE {} AS target SET {} WHERE {} RETURNING {})",
        table.ident, _assignments(table, reason), where, _returned(table, pg.raw("NULL::text")),
    )  # fmt: skip


def _in_keys(table: TokenTable, keys: Sequence[Key]) -> Any:
    return pg.statement("({}) IN (SELECT * FROM unnest({}))", idents(table.key), _arrays(table, keys))


def _arrays(table: TokenTable, keys: Sequence[Key]) -> Any:
    columns: List[Any] = [
        pg.statement("{}::text[]::{}[]", [key[at] for key in keys], table.typed(name))
        for at, name in enumerate(table.key)
    ]
    return pg.raw(_COMMA).join(columns)


def _same_key(table: TokenTable, one: str, other: str) -> Any:
    pairs = [pg.statement("{} = {}", pg.ident(one, name), pg.ident(other, name)) for name in table.key]
    return pg.raw(_AND).join(pairs)


def revoke_keys(table: TokenTable, scope: Scope, reason: str, keys: Sequence[Key]) -> Any:
    """SQL of the CTE `done`: revoke those of the rows that nobody has locked, keeping the reason they had."""
    before = pg.statement("{}::text", pg.ident(table.reason)) if table.reason else pg.raw("NULL::text")
    held = pg.statement(
        "SELECT {}, {} AS before FROM {} WHERE {} AND {} FOR UPDATE SKIP LOCKED",
        idents(table.key), before, table.ident, _in_keys(table, keys), active(table, scope),
    )  # fmt: skip
    changed = pg.raw("nullif(held.before, '')" if table.blank == "" else "held.before")
    return pg.statement(
        "WITH held AS ({}), done AS (UPDATE {} AS target SET {} FROM held WHERE {} RETURNING {})",
        held, table.ident, _assignments(table, reason), _same_key(table, "target", "held"),
        _returned(table, changed),
    )  # fmt: skip


def still_ours(table: TokenTable, stamp: str, reason: Optional[str], keys: Sequence[Key]) -> Any:
    """SQL condition: one of the rows, still revoked by exactly the revocation with this stamp and reason."""
    where = pg.statement(
        "{} AND {} = {}::{}",
        _in_keys(table, keys), pg.ident(table.revoked_at), stamp, table.typed(table.revoked_at),
    )  # fmt: skip
    if table.reason:
        where = pg.statement("{} AND {}::text IS NOT DISTINCT FROM {}", where, pg.ident(table.reason), reason)
    return where


def restore_keys(table: TokenTable, ours: Any, keys: Sequence[Key], befores: Sequence[Optional[str]]) -> Any:
    """SQL: make the rows of `ours` that nobody has locked active again, with the reason they had before."""
    held = pg.statement(
        "SELECT {} FROM {} WHERE {} FOR UPDATE SKIP LOCKED", idents(table.key), table.ident, ours
    )
    assigned = pg.statement("{} = NULL", pg.ident(table.revoked_at))
    if table.reason:
        known = pg.statement("coalesce(was.before, {})", table.blank)
        assigned = pg.statement(
            "{}, {} = ({})::{}", assigned, pg.ident(table.reason), known, table.typed(table.reason)
        )
    was = pg.statement(
        "SELECT * FROM unnest({}, {}::text[]) AS u ({}, before)",
        _arrays(table, keys), list(befores), idents(table.key),
    )  # fmt: skip
    return pg.statement(
        "WITH held AS ({}), was AS ({}) UPDATE {} AS target SET {} FROM held, was WHERE {} AND {}",
        held, was, table.ident, assigned,
        _same_key(table, "target", "held"), _same_key(table, "target", "was"),
    )  # fmt: skip
