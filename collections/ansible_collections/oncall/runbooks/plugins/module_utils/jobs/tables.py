# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an application keeps its scheduler's heartbeats, its queue, its dead letters and its lock."""

from __future__ import annotations

__metaclass__ = type

import re
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Relation,
    find,
    require,
    split_name,
)

Place = TypeVar("Place", bound="Columns")
_TABLE = {"type": "str", "required": True}
_UNIQUE = """
SELECT EXISTS (SELECT 1 FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
               WHERE i.indrelid = %s::oid AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
                 AND i.indpred IS NULL AND a.attname = %s)
"""


@dataclass(frozen=True)
class Columns(Relation):
    """A table whose columns the inventory names; an empty name means that there is no such column."""

    @classmethod
    def from_option(cls: Type[Place], option: Optional[Mapping[str, Any]]) -> Optional[Place]:
        """Return what the option declares, None when it is not given."""
        if not option:
            return None
        named = {name: option[name] or "" for name in cls.names()}
        return cls(*split_name(option["table"]), **named)

    @classmethod
    def names(cls) -> List[str]:
        """The options that name a column."""
        return [item.name for item in fields(cls) if item.name not in ("schema", "name")]

    @classmethod
    def spec(cls) -> Dict[str, Any]:
        """The suboptions: the table, and each column with its usual name."""
        defaults = {item.name: item.default for item in fields(cls)}
        # `key` is the name of a column, and not a secret.
        columns = {n: {"type": "str", "default": defaults[n], "no_log": False} for n in cls.names()}
        return {"type": "dict", "options": {"table": _TABLE, **columns}}

    def check(self, connection: Any, *, changed: Any = ()) -> int:
        """Raise unless the table, its columns and the rights (to set those in changed) are there; its oid."""
        oid, columns = find(connection, self)
        used = [getattr(self, name) for name in self.names()]
        require(connection, self, columns, [n for n in used if n], list(changed))
        return oid


@dataclass(frozen=True)
class Heartbeats(Columns):
    """One row for each job: when it last ran to its end, and how many seconds lie between two runs."""

    job: str = "job"
    beat_at: str = "beat_at"
    interval: str = "interval_s"


@dataclass(frozen=True)
class Queue(Columns):
    """Messages that wait or were worked on; `key` is the idempotency key, unique over all of them."""

    kind: str = "kind"
    payload: str = "payload"
    key: str = "idempotency_key"
    enqueued_at: str = "enqueued_at"
    taken_at: str = "taken_at"
    done_at: str = "done_at"

    def require_unique_key(self, connection: Any, oid: int) -> None:
        """Refuse a queue that would take the same message twice: jobs would run twice."""
        if not pg.value(connection, _UNIQUE, (oid, self.key)):
            raise self.wrong(
                "no_unique_key",
                "no unique index over %s alone keeps a message from being queued twice" % self.key,
                "CREATE UNIQUE INDEX CONCURRENTLY ON %s (%s), or name the column that has one"
                % (self.place, self.key),
            )


@dataclass(frozen=True)
class DeadLetters(Columns):
    """Messages that failed for good; `replayed_at` is NULL until they are queued again."""

    id: str = "id"
    kind: str = "kind"
    payload: str = "payload"
    key: str = "idempotency_key"
    error: str = "error"
    failed_at: str = "failed_at"
    expires_at: str = "expires_at"
    replayed_at: str = "replayed_at"


@dataclass(frozen=True)
class Lock(Columns):
    """One row for each lock; `owner` is the application_name of the session that its holder keeps open."""

    lock: str = "name"
    owner: str = "owner"
    beat_at: str = "beat_at"


@dataclass(frozen=True)
class Tables:
    """All of them; what the application does not have is None."""

    heartbeats: Optional[Heartbeats]
    queue: Optional[Queue]
    dead_letters: Optional[DeadLetters]
    lock: Optional[Lock]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Tables":
        """Return the tables that the options of the doc fragment `jobs` declare."""
        return cls(
            Heartbeats.from_option(params.get("heartbeats")),
            Queue.from_option(params.get("queue")),
            DeadLetters.from_option(params.get("dead_letters")),
            Lock.from_option(params.get("lock")),
        )


def composed(template: str, place: Columns, **values: Any) -> Any:
    """Return a statement: `{table}`, its columns by their option (NULL for one that is not there), values."""
    parts = dict(_columns(place), **{name: pg.literal(value) for name, value in values.items()})
    return pg.raw(template).format(table=place.ident, **parts)


def joined(template: str, dead: DeadLetters, queue: Queue, **values: Any) -> Any:
    """Return a statement over both tables: `{dead}` stands for one, `{queue.kind}` for a column."""
    parts = {"dead": dead.ident, "queue": queue.ident}
    places: Tuple[Tuple[str, Columns], ...] = (("dead", dead), ("queue", queue))
    for word, place in places:
        parts.update({"%s_%s" % (word, name): made for name, made in _columns(place).items()})
    parts.update({name: pg.literal(value) for name, value in values.items()})
    return pg.raw(re.sub(r"\{(dead|queue)\.(\w+)\}", r"{\1_\2}", template)).format(**parts)


def _columns(place: Columns) -> Dict[str, Any]:
    named = {name: getattr(place, name) for name in place.names()}
    return {name: pg.ident(column) if column else pg.raw("NULL") for name, column in named.items()}


def argument_spec() -> Dict[str, Any]:
    """Return the options of the doc fragment `jobs`."""
    return {
        "database": {"type": "str", "required": True},
        "heartbeats": Heartbeats.spec(),
        "queue": Queue.spec(),
        "dead_letters": DeadLetters.spec(),
        "lock": Lock.spec(),
        "timeout": {"type": "float", "default": 10},
    }
