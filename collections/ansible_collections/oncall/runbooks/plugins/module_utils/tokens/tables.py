# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables that hold tokens: as they were declared, and as the server's catalog knows them."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Column,
    Relation,
    find,
    require,
    require_fit,
    split_name,
)

TIMES = ("timestamp with time zone", "timestamp without time zone")
_OPTIONAL_COLUMNS = ("reason", "created_at", "subscriber", "session")


@dataclass(frozen=True)
class TokenTable(Relation):
    """One table that holds tokens; an empty text means that it has no such column."""

    key: Tuple[str, ...]
    revoked_at: str
    reason: str = ""
    created_at: str = ""
    subscriber: str = ""
    session: str = ""
    optional: bool = False
    # What the catalog says: type of each column used, and what an unused reason looks like (NULL or '').
    types: Mapping[str, str] = field(default_factory=dict)
    blank: Any = None
    reason_type: str = ""
    # Whether an index leads to the active rows: then a look for them need not read the whole table.
    indexed: bool = False
    do_without: ClassVar[str] = ", or declare the table optional"

    @classmethod
    def from_option(cls, option: Mapping[str, Any]) -> "TokenTable":
        """Return the table that one entry of the option `tables` declares."""
        schema, name = split_name(option["table"])
        if not option["key"]:
            raise UsageError(
                "read the option tables",
                on=option["table"],
                got="it has no key column",
                next_step="set key to the primary key, for example [id]",
            )
        columns: Dict[str, Any] = {column: option.get(column) or "" for column in _OPTIONAL_COLUMNS}
        optional = bool(option.get("optional"))
        return cls(schema, name, tuple(option["key"]), option["revoked_at"], optional=optional, **columns)

    @property
    def columns(self) -> List[str]:
        """Every column that is used."""
        named = [self.revoked_at, self.reason, self.created_at, self.subscriber, self.session]
        return list(dict.fromkeys([*self.key, *(name for name in named if name)]))

    def typed(self, column: str) -> Any:
        """The column's type, as SQL of the server's own making."""
        return pg.raw(self.types[column])

    def as_option(self) -> Dict[str, Any]:
        """The declaration again, for a ledger."""
        said = asdict(self)
        for name in ("types", "blank", "reason_type", "indexed", "schema", "name"):
            del said[name]
        return dict(said, table=self.place, key=list(self.key))


# Only a whole, immediate index over plain columns makes a key that names one row.
_UNIQUE = """
SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i
WHERE i.indrelid = %s::oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
  AND i.indexprs IS NULL ORDER BY i.indisprimary DESC
"""


_INDEXED = """
SELECT EXISTS (
    SELECT 1 FROM pg_index i LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = %s::oid AND i.indisvalid
      AND (pg_get_expr(i.indpred, i.indrelid) = format('(%%I IS NULL)', %s::text)
           OR (i.indpred IS NULL AND a.attname = %s)))
"""


def describe(connection: Any, table: TokenTable) -> TokenTable:
    """Return the table with what the catalog knows of it.

    Raises an OncallError of kind `missing_table`, `missing_column`, `wrong_type` or `wrong_key` when it is
    not what was declared, DeniedError when the role may not read or change it. Nothing is locked or changed.
    """
    oid, columns = find(connection, table)
    changed = [name for name in (table.revoked_at, table.reason) if name]
    require(connection, table, columns, table.columns, changed)
    _require_times(table, columns)
    key = _unique_key(connection, oid, table, columns)
    types = {name: columns[name].type_text for name in table.columns}
    blank = "" if table.reason and columns[table.reason].not_null else None
    reason_type = columns[table.reason].full_type if table.reason else ""
    indexed = bool(pg.value(connection, _INDEXED, (oid, table.revoked_at, table.revoked_at)))
    return replace(table, key=key, types=types, blank=blank, reason_type=reason_type, indexed=indexed)


def describe_all(connection: Any, tables: Sequence[TokenTable]) -> Tuple[List[TokenTable], Dict[str, str]]:
    """Return the described tables, and why each optional one that is not as declared is left out."""
    found: List[TokenTable] = []
    skipped: Dict[str, str] = {}
    for table in tables:
        try:
            found.append(describe(connection, table))
        except OncallError as error:
            if not table.optional or error.kind not in ("missing_table", "missing_column", "wrong_type"):
                raise
            skipped[table.place] = error.got
    return found, skipped


def require_reason(connection: Any, table: TokenTable, reason: str) -> None:
    """Raise UsageError when the reason does not fit its column whole."""
    if not table.reason:
        return
    require_fit(connection, table, (table.reason, table.reason_type), reason, "reason")
    # An explicit cast cuts instead of refusing.
    cut = pg.statement("SELECT {}::{}::text <> {}", reason, pg.raw(table.reason_type), reason)
    if pg.value(connection, cut):
        raise UsageError(
            "use the option reason",
            on=repr(reason),
            got="column %s of %s is of type %s" % (table.reason, table.place, table.reason_type),
            next_step="give a shorter reason",
        )


def _require_times(table: TokenTable, columns: Mapping[str, Column]) -> None:
    for option in ("revoked_at", "created_at"):
        name = getattr(table, option)
        if name and columns[name].base not in TIMES:
            got = "column %s is of type %s, not a timestamp" % (name, columns[name].type_text)
            raise table.wrong("wrong_type", got, "name the right column as %s" % option)
    if columns[table.revoked_at].not_null:
        got = "column %s is never NULL, so no token would be active" % table.revoked_at
        raise table.wrong("wrong_type", got, "name the column that is NULL while a token is valid")


def _unique_key(
    connection: Any, oid: int, table: TokenTable, columns: Mapping[str, Column]
) -> Tuple[str, ...]:
    """Return the key in the order of its index, so that a walk by key follows the index."""
    indexes: List[Tuple[str, ...]] = [tuple(row[0]) for row in pg.rows(connection, _UNIQUE, (oid,))]
    nullable = [name for name in table.key if not columns[name].not_null]
    for index in indexes:
        if sorted(index) == sorted(table.key) and not nullable:
            return index
    known = "; unique are: %s" % "; ".join(", ".join(index) for index in indexes) if indexes else ""
    got = "%s does not name one row (no unique index over columns that are never NULL%s)" % (
        ", ".join(table.key),
        known,
    )
    raise table.wrong("wrong_key", got, "set key to the primary key")
