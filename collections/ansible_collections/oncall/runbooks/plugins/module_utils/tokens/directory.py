# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of subscribers: how an e-mail address becomes the id of one of them."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass, replace
from typing import Any, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Relation,
    find,
    require,
    require_fit,
    split_name,
)


@dataclass(frozen=True)
class Directory(Relation):
    """Where subscribers are looked up; an empty text means that it has no such column."""

    key: str
    email: str = ""
    key_type: str = ""

    @classmethod
    def from_option(cls, option: Optional[Mapping[str, Any]]) -> Optional["Directory"]:
        """Return the directory that the option `subscribers` declares, None when it does not."""
        if not option:
            return None
        return cls(*split_name(option["table"]), option["key"], option.get("email") or "")


def describe(connection: Any, directory: Directory) -> Directory:
    """Return the directory with the type of its key; raises when it is not as declared."""
    _oid, columns = find(connection, directory)
    require(connection, directory, columns, [name for name in (directory.key, directory.email) if name])
    return replace(directory, key_type=columns[directory.key].type_text)


def resolve(connection: Any, directory: Optional[Directory], given: str, option: str) -> str:
    """Return the id of the one subscriber that `given` (an id or an e-mail address) names."""
    by_email = "@" in given
    if directory is None or (by_email and not directory.email):
        if by_email:
            raise UsageError(
                "find the subscriber",
                on="%s %s" % (option, given),
                got="no e-mail column of subscribers is declared",
                next_step="give the id, or declare subscribers (table, key, email)",
            )
        return given
    found = _lookup(connection, directory, given, by_email)
    if len(found) == 1:
        return found[0][0]
    if found:
        who = "; ".join("id %s (%s)" % (key, email) for key, email in found)
        got, step = (
            "it names %d subscribers: %s" % (len(found), who),
            "set %s to the id that is meant" % option,
        )
    else:
        got = "%s has no subscriber with %s %s" % (
            directory.place,
            "the e-mail address" if by_email else "id",
            given,
        )
        step = "correct %s" % option
    raise UsageError("find the subscriber", on="%s %s" % (option, given), got=got, next_step=step)


def _lookup(connection: Any, directory: Directory, given: str, by_email: bool) -> List[Tuple[str, str]]:
    key = pg.ident(directory.key)
    email = pg.ident(directory.email) if directory.email else pg.raw("NULL")
    if by_email:
        # Addresses that differ in case only may be two accounts: then a person decides which one is meant.
        where = pg.statement("lower({}::text) = lower({})", email, given)
    else:
        require_fit(connection, directory, (directory.key, directory.key_type), given, "subscriber")
        where = pg.statement("{} = {}::{}", key, given, pg.raw(directory.key_type))
    query = pg.statement("SELECT {}::text, {}::text FROM {} WHERE {}", key, email, directory.ident, where)
    return pg.rows(connection, pg.statement("{} ORDER BY 1 LIMIT 10", query))
