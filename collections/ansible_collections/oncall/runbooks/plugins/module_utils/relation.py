# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A table and its columns as the server's catalog knows them, and what the role may do with them."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
)

_RELATION = """
SELECT c.oid::bigint, c.relkind::text, row_security_active(c.oid), has_schema_privilege(n.oid, 'USAGE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, -1), format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attgenerated = '',
       coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
       has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped
"""


@dataclass(frozen=True)
class Column:
    """One column: its type as SQL writes it, the type below a domain, and what the role may do."""

    # Without its length: a cast to varchar(3) would quietly make another value of what was given.
    type_text: str
    full_type: str
    not_null: bool
    writable: bool
    base: str
    may_read: bool
    may_update: bool


@dataclass(frozen=True)
class Relation:
    """A table by name; a missing one may be done without when its subclass says how."""

    schema: str
    name: str
    do_without: ClassVar[str] = ""

    @property
    def place(self) -> str:
        """Schema and name, for people."""
        return "%s.%s" % (self.schema, self.name)

    @property
    def ident(self) -> Any:
        """The quoted name."""
        return pg.ident(self.schema, self.name)

    def wrong(self, kind: str, got: str, next_step: str) -> OncallError:
        """Return the error that says why the table cannot be used."""
        return OncallError("use the table", on=self.place, got=got, next_step=next_step, kind=kind)


def split_name(text: str) -> Tuple[str, str]:
    """Return schema and name of `schema.table`; without a schema it is a table of `public`."""
    schema, dot, name = text.partition(".")
    if not dot:
        schema, name = "public", schema
    if not schema or not name:
        raise UsageError(
            "read a table's name", on=repr(text), got="it is empty", next_step="write it as schema.table"
        )
    return schema, name


def find(connection: Any, relation: Relation) -> Tuple[int, Dict[str, Column]]:
    """Return oid and columns of a table; nothing is locked.

    Raises an OncallError of kind `missing_table` or `wrong_type`, DeniedError when rows would be hidden.
    """
    found = pg.rows(connection, _RELATION, (relation.schema, relation.name))
    if not found:
        step = "correct the name%s" % relation.do_without
        raise relation.wrong("missing_table", "there is no such table", step)
    oid, kind, hidden, usable = found[0]
    if kind not in ("r", "p"):
        raise relation.wrong("wrong_type", "it is not a table", "name the table behind it")
    if not usable:
        raise denied(connection, relation, "USAGE ON SCHEMA {}", pg.ident(relation.schema))
    if hidden:
        step = "log in as the table's owner or as a role with BYPASSRLS: hidden rows would stay as they are"
        raise DeniedError("see every row", on=relation.place, got="row security hides some", next_step=step)
    return int(oid), {row[0]: Column(*row[1:]) for row in pg.rows(connection, _COLUMNS, (oid,))}


def require(
    connection: Any,
    relation: Relation,
    columns: Mapping[str, Column],
    used: Sequence[str],
    changed: Sequence[str] = (),
) -> None:
    """Raise unless every column `used` is there and readable, and every one `changed` may be set."""
    missing = [name for name in used if name not in columns]
    if missing:
        got = "it has no column %s (it has %s)" % (", ".join(missing), ", ".join(columns))
        step = "correct the column's name%s" % relation.do_without
        raise relation.wrong("missing_column", got, step)
    if not all(columns[name].may_read for name in used):
        raise denied(connection, relation, "SELECT ON {}", relation.ident)
    for name in changed:
        if not columns[name].writable:
            got = "column %s is generated and cannot be set" % name
            raise relation.wrong("wrong_type", got, "name the column it is generated from")
    if not all(columns[name].may_update for name in changed):
        raise denied(connection, relation, "UPDATE ({}) ON {}", idents(changed), relation.ident)


def require_fit(
    connection: Any, relation: Relation, column: Tuple[str, str], value: str, option: str
) -> None:
    """Refuse a `value` that does not fit the column (name, type), before any table is looked at with it."""
    name, type_text = column
    try:
        pg.rows(connection, pg.statement("SELECT {}::{}", value, pg.raw(type_text)))
    except pg.Error as error:
        if (getattr(error, "pgcode", None) or "")[:2] != "22":
            raise
        raise UsageError(
            "use the option %s" % option,
            on=repr(value),
            got="column %s of %s is of type %s" % (name, relation.place, type_text),
            next_step="correct %s" % option,
        ) from None


def idents(names: Sequence[str]) -> Any:
    """Return quoted names with commas between them."""
    return pg.raw(", ").join([pg.ident(name) for name in names])


def denied(connection: Any, relation: Relation, template: str, *parts: Any) -> DeniedError:
    """Return the error that names the grant which is missing."""
    role = pg.value(connection, "SELECT current_user")
    grant = pg.statement("GRANT " + template + " TO {}", *parts, pg.ident(role)).as_string(connection)
    return DeniedError(
        "use the table",
        on=relation.place,
        got="role %s may not" % role,
        next_step="as the owner: %s; or set login_user to a role that may" % grant,
    )
