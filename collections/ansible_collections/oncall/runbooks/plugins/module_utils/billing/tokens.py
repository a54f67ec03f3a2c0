# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tokens that were revoked for non-payment, and no others, become valid again."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.changes import Change, by_name, texts
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Relation,
    find,
    idents,
    require,
    split_name,
)


@dataclass(frozen=True)
class Revoked(Relation):
    """One table of tokens; `unpaid` are the words of its `reason` that mean non-payment."""

    key: Tuple[str, ...]
    subscriber: str
    revoked_at: str
    reason: str
    unpaid: Tuple[str, ...]
    # What the reason of a token that was never revoked looks like: NULL, or '' where NULL is forbidden.
    blank: Optional[str] = None

    @classmethod
    def from_option(cls, option: Mapping[str, Any]) -> "Revoked":
        """Return the table that one entry of the option `tokens` declares."""
        if not option["unpaid"] or not option["key"]:
            raise UsageError(
                "use the option tokens",
                on=option["table"],
                got="key or unpaid is empty",
                next_step="name the primary key and the reasons that mean non-payment; leave a table without"
                " reasons out, because nobody can tell its tokens from stolen ones",
            )
        names = {name: option[name] for name in ("subscriber", "revoked_at", "reason")}
        return cls(
            *split_name(option["table"]), tuple(option["key"]), unpaid=tuple(option["unpaid"]), **names
        )

    def described(self, connection: Any) -> "Revoked":
        """Return the table checked against the catalog."""
        _oid, columns = find(connection, self)
        used = [*self.key, self.subscriber, self.revoked_at, self.reason]
        require(connection, self, columns, used, [self.revoked_at, self.reason])
        blank = "" if columns[self.reason].not_null else None
        return Revoked(
            self.schema,
            self.name,
            self.key,
            self.subscriber,
            self.revoked_at,
            self.reason,
            self.unpaid,
            blank,
        )

    def changes(self, connection: Any, subscribers: Sequence[str], *, locked: bool) -> List[Change]:
        """Return what makes the tokens of these subscribers valid that were revoked for non-payment."""
        if not subscribers:
            return []
        columns = [*self.key, self.revoked_at, self.reason]
        query = pg.statement(
            "SELECT {} FROM {} WHERE {} IN %s AND {} IS NOT NULL AND {}::text IN %s ORDER BY {} {}",
            texts(columns),
            self.ident,
            *map(pg.ident, (self.subscriber, self.revoked_at, self.reason)),
            idents(self.key),
            pg.raw("FOR UPDATE" if locked else ""),
        )
        found = pg.rows(connection, query, (tuple(subscribers), self.unpaid))
        return [self._change(by_name(columns, row)) for row in found]

    def _change(self, row: Dict[str, Any]) -> Change:
        key = {name: row[name] for name in self.key}
        before = {name: row[name] for name in (self.revoked_at, self.reason)}
        return Change(self.place, key, before, {self.revoked_at: None, self.reason: self.blank}, token=True)


def argument_spec() -> Dict[str, Any]:
    """Return the suboptions of `tokens`."""
    word: Dict[str, Any] = {"type": "str", "required": True}
    return {
        "table": word,
        # Names of columns, no secrets, whatever they sound like.
        "key": {"type": "list", "elements": "str", "default": ["id"], "no_log": False},
        "subscriber": {"type": "str", "default": "subscriber_id"},
        "revoked_at": {"type": "str", "default": "revoked_at"},
        "reason": word,
        "unpaid": {"type": "list", "elements": "str", "required": True},
    }
