# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Marks on databases: which run made one, from which backup, and how far it came.

A mark is JSON in the database-level setting `oncall_runbooks.restore`: it survives renames, crashes and our
own death, and needs no object inside the database. A role that may not set it (only superusers may set
unknown parameters) leaves the same JSON in the last line of the database's comment instead.
"""

from __future__ import annotations

__metaclass__ = type

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg

SETTING = "oncall_runbooks.restore"
_COMMENT = "\n%s = " % SETTING


@dataclass(frozen=True)
class Mark:
    """What a database says about where it comes from.

    `role` is `restore` (being loaded or waiting beside), `live` (restored, in service), `before` (the old
    one) or `after` (restored, swapped out by an undo). `phase` is `loading`, `verified` or `switched`.
    """

    run: str
    of: str
    role: str
    phase: str = ""
    key: str = ""
    etag: str = ""
    since: str = ""
    who: str = ""
    origin: str = ""  # of role `before`: the run that had restored it, when one had

    def moved(self, role: str, phase: str = "switched") -> "Mark":
        """Return the same mark in another role."""
        return replace(self, role=role, phase=phase)


@dataclass(frozen=True)
class MarkedDatabase:
    """One database of the server, with its mark when it has one."""

    name: str
    size: int  # bytes, 0 when the role may not connect to it
    mark: Optional[Mark]


_LIST = """
SELECT d.datname,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) ELSE 0 END,
       (SELECT option FROM pg_db_role_setting s, unnest(s.setconfig) AS option
         WHERE s.setdatabase = d.oid AND s.setrole = 0 AND option LIKE %s),
       shobj_description(d.oid, 'pg_database')
FROM pg_database d WHERE NOT d.datistemplate AND (%s IS NULL OR d.datname = %s) ORDER BY d.datname
"""


def _parse(text: Optional[str]) -> Optional[Mark]:
    try:
        data = json.loads(text or "")
        return Mark(**{name: str(data[name]) for name in Mark.__dataclass_fields__ if name in data})
    except (ValueError, TypeError):
        return None


def _mark_of(option: Optional[str], comment: Optional[str]) -> Optional[Mark]:
    if option:
        return _parse(option.split("=", 1)[1])
    return _parse((comment or "").rpartition(_COMMENT)[2]) if _COMMENT in (comment or "") else None


def databases(connection: Any, name: Optional[str] = None) -> List[MarkedDatabase]:
    """Return every ordinary database with its mark, or only the one called `name`."""
    found = pg.rows(connection, _LIST, (SETTING + "=%", name, name))
    return [MarkedDatabase(datname, size, _mark_of(option, note)) for datname, size, option, note in found]


def find(connection: Any, name: str) -> Optional[MarkedDatabase]:
    """Return the database called `name`, None when there is none."""
    found = databases(connection, name)
    return found[0] if found else None


def unmarked_comment(comment: Optional[str]) -> str:
    """Return a database's comment without a mark in it."""
    return (comment or "").partition(_COMMENT)[0]


def set_mark(connection: Any, name: str, mark: Optional[Mark]) -> None:
    """Write (or with None: remove) the mark of one database, in the transaction that is open if one is."""
    text = json.dumps(asdict(mark), sort_keys=True) if mark else ""
    if _may_use_setting(connection):
        template = "ALTER DATABASE {} SET {} = {}" if mark else "ALTER DATABASE {} RESET {}"
        parts: List[Any] = [pg.ident(name), pg.ident(*SETTING.split("."))] + ([text] if mark else [])
        pg.rows(connection, pg.statement(template, *parts))
        return
    comment = pg.value(
        connection,
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
        (name,),
    )
    whole = unmarked_comment(comment) + (_COMMENT + text if mark else "")
    pg.rows(connection, pg.statement("COMMENT ON DATABASE {} IS {}", pg.ident(name), whole or None))


def _may_use_setting(connection: Any) -> bool:
    """Superusers may; since PostgreSQL 15 so may a role that was granted SET ON PARAMETER."""
    if pg.value(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        return True
    granted = "SELECT has_parameter_privilege(current_user, %s, 'SET')"
    return bool(connection.server_version >= 150000 and pg.value(connection, granted, (SETTING,)))


def as_dict(database: MarkedDatabase) -> Dict[str, Any]:
    """Return the database for a result."""
    return {"name": database.name, "size": database.size, "mark": asdict(database.mark or Mark("", "", ""))}
