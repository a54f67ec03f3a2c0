# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The statements after the rows as tasks for several sessions, and in which order to start them."""

from __future__ import annotations

__metaclass__ = type

import re
from typing import Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.restore import schedule
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.events import Sql
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_session import Session, Settings

_NAME = r'(?:"(?:[^"]|"")+"|[^\s".(),;]+)'
_FOREIGN_KEY = re.compile(r"\s*(ALTER\s+TABLE\s+ONLY\s+.+?)\s+ADD\s+CONSTRAINT\s+(%s)\s" % _NAME, re.I | re.S)
_NOT_VALID = re.compile(r"\bNOT\s+VALID\s*;?\s*$", re.I)
_KEYS = re.compile(r"(?:\bUSING\s+\w+|PRIMARY\s+KEY|UNIQUE|FOREIGN\s+KEY)\s*\((.*)\)", re.I | re.S)
_TRIED = "run a statement of the dump"

_SORTED = re.compile(r"\bUSING\s+btree\s*\(|PRIMARY\s+KEY|UNIQUE", re.I)

# What a row of an index costs, as if it were bytes of its key more; and a row that is looked up elsewhere.
_PER_ROW, _PER_COMPARED_ROW = 8, 16
_PER_SORTED_ROW = 48  # bytes around a key while it is sorted
_SAMPLE = 1 << 16  # bytes of rows that tell how wide columns are


def is_not_valid(event: Sql) -> bool:
    """Tell whether the dump itself declares this constraint NOT VALID."""
    return event.kind.endswith("CONSTRAINT") and bool(_NOT_VALID.search(event.text))


def widths(columns: str, rows: bytes) -> Dict[str, float]:
    """Return how many bytes the values of each column have on average in the first of these rows of COPY."""
    names = re.findall(_NAME, columns)
    cells = [line.split(b"\t") for line in rows[:_SAMPLE].split(b"\n")[:-1]]
    whole = [row for row in cells if len(row) == len(names)]
    return {name: sum(len(row[at]) for row in whole) / len(whole) for at, name in enumerate(names) if whole}


class _Planned(NamedTuple):
    """A task with the statement that it runs."""

    task: schedule.Task
    event: Sql


class PostData:
    """Collects the statements after the rows. `rows` and `widths` (per table) are filled while rows come in.

    With `split` a foreign key is declared first and validated by a task of its own: keys that refer to the
    same table are then checked at the same time.
    """

    def __init__(self, rows: Mapping[str, int], split: bool) -> None:
        self._rows, self._split = rows, split
        self._by_table: Dict[str, List[_Planned]] = {}
        self.widths: Dict[str, Dict[str, float]] = {}
        self.count = self.unvalidated = 0

    def plan(self, event: Sql, settings: Settings) -> List[schedule.Task]:
        """Return the tasks that one statement becomes, under the settings that precede it in the dump."""
        self.count += 1
        self.unvalidated += is_not_valid(event)
        claims = schedule.claims(event)
        label = event.creates or " ".join((event.kind, *event.names[:1]))
        parts = self._halves(event, claims) or [schedule.Task(_runner(event.raw), claims, 0, label)]
        tasks = [
            schedule.Task(self._prepared(event, settings, part.run), part.claims, 0, part.label or label)
            for part in parts
        ]
        planned = [_Planned(task, event) for task in tasks]
        if event.names:
            self._by_table.setdefault(event.names[0], []).extend(planned)
        return tasks

    def _prepared(
        self, event: Sql, settings: Settings, run: Callable[[Session], None]
    ) -> Callable[[Session], None]:
        def prepared(session: Session) -> None:
            session.adopt(settings)
            session.grant_memory(self._sorted_size(event))
            run(session)

        return prepared

    def _sorted_size(self, event: Sql) -> Optional[int]:
        """Return how many kB the server sorts for an index; None where that is not known."""
        table = event.names[0] if event.names else ""
        if table not in self._rows or not _SORTED.search(event.text):
            return None
        return int(self._rows[table] * (_PER_SORTED_ROW + self._key_width(table, event))) // 1024

    def _halves(self, event: Sql, claims: schedule.Claims) -> Optional[List[schedule.Task]]:
        """Return the two tasks of a foreign key; None for what is not split."""
        match = _FOREIGN_KEY.match(event.text) if self._split and event.kind == "FK CONSTRAINT" else None
        if match is None or claims.barrier or _NOT_VALID.search(event.text) or len(event.names) != 2:
            return None
        table, other = (frozenset([name]) for name in event.names)
        declare = event.text.rstrip().rstrip(";") + " NOT VALID;"
        validate = "%s VALIDATE CONSTRAINT %s;" % match.groups()
        apart = other - table  # a table may refer to itself
        return [
            schedule.Task(_runner(_raw(declare)), schedule.Claims(exclusive=table, referred=apart)),
            schedule.Task(_runner(_raw(validate)), schedule.Claims(tended=table, read=apart)),
        ]

    def weigh(self, tables: Optional[Sequence[str]] = None) -> None:
        """Set the cost of the tasks of these tables (default: all), now that it is known how large they are.

        A task's cost is what it takes and what has to wait for it: the longest chain is to start first.
        """
        for table in self._by_table if tables is None else tables:
            chain = beside = 0
            for planned in reversed(self._by_table.get(table, [])):
                cost = chain + self._own_cost(table, planned.event)
                if planned.event.kind == "INDEX":  # several of them at once
                    beside = max(beside, cost)
                else:
                    cost = chain = max(chain, beside) + self._own_cost(table, planned.event)
                    beside = 0
                planned.task.cost = cost

    def _own_cost(self, table: str, event: Sql) -> int:
        rows = self._rows.get(table, 0)
        if event.kind == "FK CONSTRAINT":
            return rows * _PER_COMPARED_ROW
        return int(rows * (_PER_ROW + self._key_width(table, event))) if _KEYS.search(event.text) else 0

    def _key_width(self, table: str, event: Sql) -> float:
        keys = _KEYS.search(event.text)
        named: FrozenSet[str] = frozenset(re.findall(_NAME, keys.group(1)) if keys else ())
        return sum(width for name, width in self.widths.get(table, {}).items() if name in named)


def _runner(statement: bytes) -> Callable[[Session], None]:
    return lambda session: session.execute_retrying(statement, _TRIED)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
