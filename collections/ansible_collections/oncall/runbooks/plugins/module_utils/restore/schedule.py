# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running the statements after the data in parallel, in dependency order.

Each statement claims resources (tables, indexes), shared or exclusive. A statement starts when nothing that
came before it in the dump still holds a conflicting claim, so the order of the dump is kept wherever it could
matter. A statement that is not understood is a barrier: everything before it ends first, nothing after it starts.
"""

from __future__ import annotations

__metaclass__ = type

import re
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

_NAME = r'(?:"(?:[^"]|"")+"|[^\s".(;,]+)'
_QUALIFIED = r"(%s(?:\.%s)?)" % (_NAME, _NAME)
_INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF NOT EXISTS\s+)?(%s)\s+ON\s+(?:ONLY\s+)?%s"
    % (_NAME, _QUALIFIED),
    re.I,
)
_ALTER_ONLY = re.compile(r"ALTER\s+TABLE\s+ONLY\s+%s\s+(.*)" % _QUALIFIED, re.I | re.S)
_CONSTRAINT = re.compile(
    r"ADD\s+CONSTRAINT\s+(%s)\s+(PRIMARY KEY|UNIQUE|CHECK|EXCLUDE|FOREIGN KEY)" % _NAME, re.I
)
_REFERENCES = re.compile(r"REFERENCES\s+(?:ONLY\s+)?%s" % _QUALIFIED, re.I)
_USES_INDEX = re.compile(r"(?:CLUSTER ON|REPLICA IDENTITY USING INDEX)\s+(%s)" % _NAME, re.I)
_COMMENT_INDEX = re.compile(r"COMMENT\s+ON\s+INDEX\s+%s\s+IS" % _QUALIFIED, re.I)
_COMMENT_ON_TABLE = re.compile(
    r"COMMENT\s+ON\s+(?:CONSTRAINT|TRIGGER)\s+%s\s+ON\s+%s\s+IS" % (_NAME, _QUALIFIED), re.I
)
_TRIGGER = re.compile(
    r"CREATE\s+TRIGGER\s+%s\s+(?:BEFORE|AFTER)\s[^;]*?\sON\s+%s\s+(?!FROM\b)[^;]*?EXECUTE"
    % (_NAME, _QUALIFIED),
    re.I | re.S,
)


@dataclass(frozen=True)
class Claims:
    """What a statement uses alone, what it shares, or that it must run by itself (`barrier`)."""

    exclusive: FrozenSet[str] = frozenset()
    shared: FrozenSet[str] = frozenset()
    barrier: bool = False

    def conflicts(self, other: "Claims") -> bool:
        """Whether the two may not overlap in time."""
        if self.barrier or other.barrier:
            return True
        return bool(self.exclusive & (other.exclusive | other.shared) or self.shared & other.exclusive)


BARRIER = Claims(barrier=True)


def _sibling(name: str, table: str) -> str:
    """Return an index's name with the schema of its table: an index lives where its table does."""
    match = re.match(r"(%s)\.%s$" % (_NAME, _NAME), table)
    return "%s.%s" % (match.group(1), name) if match else name


def _alter_claims(table: str, action: str) -> Claims:
    constraint = _CONSTRAINT.match(action)
    if constraint:
        held = {table, _sibling(constraint.group(1), table)}
        if constraint.group(2).upper() == "FOREIGN KEY":
            target = _REFERENCES.search(action)
            if not target:
                return BARRIER
            held.add(target.group(1))
        return Claims(exclusive=frozenset(held))
    uses = _USES_INDEX.match(action)
    if uses:
        return Claims(exclusive=frozenset({table, _sibling(uses.group(1), table)}))
    return BARRIER


def claims(text: str) -> Claims:
    """Return what one statement of the post-data section claims, judged by its text."""
    text = text.strip()
    index = _INDEX.match(text)
    if index:
        name, table = index.group(1), index.group(2)
        return Claims(exclusive=frozenset({_sibling(name, table)}), shared=frozenset({table}))
    alter = _ALTER_ONLY.match(text)
    if alter:
        return _alter_claims(alter.group(1), alter.group(2))
    for pattern in (_COMMENT_INDEX, _COMMENT_ON_TABLE, _TRIGGER):
        match = pattern.match(text)
        if match:
            return Claims(exclusive=frozenset({match.group(1)}))
    return BARRIER


@dataclass
class Task:
    """One statement with its claims; `cost` orders what may start at the same moment (largest first)."""

    run: Callable[[Any], None]
    claims: Claims
    cost: int = 0
    label: str = ""
    started: bool = field(default=False, init=False)


class Scheduler:
    """Runs tasks on `workers` threads, each with a resource of its own (a session) from `open_resource`."""

    def __init__(self, workers: int, open_resource: Callable[[], Any], close: Callable[[Any], None]) -> None:
        self._workers, self._open, self._close = workers, open_resource, close
        self._condition = threading.Condition()
        self._pending: List[Task] = []
        self._running: List[Task] = []
        self._error: Optional[BaseException] = None
        self._done = 0

    def run(self, tasks: Sequence[Task]) -> None:
        """Run all tasks; raise the first error after every running task has ended."""
        self._pending, self._done, self._error = list(tasks), 0, None
        threads = [
            threading.Thread(target=self._work, name="oncall-schedule-%d" % number, daemon=True)
            for number in range(min(self._workers, len(tasks)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def stop(self, error: BaseException) -> None:
        """Start nothing more; `run` raises `error` unless a task failed before."""
        with self._condition:
            self._error = self._error or error
            self._condition.notify_all()

    def labels(self) -> Tuple[str, ...]:
        """What runs at this moment."""
        with self._condition:
            return tuple(task.label for task in self._running)

    @property
    def done(self) -> int:
        """How many tasks have ended well."""
        return self._done

    def _work(self) -> None:
        resource = None
        try:
            resource = self._open()
            for task in iter(self._next, None):
                task.run(resource)
                self._finish(task)
        except BaseException as error:
            self.stop(error)
        finally:
            if resource is not None:
                self._close(resource)

    def _next(self) -> Optional[Task]:
        """Wait for a task that may start; None when there is nothing left to do."""
        with self._condition:
            while self._error is None and self._pending:
                ready = self._ready()
                if ready is not None:
                    self._pending.remove(ready)
                    self._running.append(ready)
                    return ready
                self._condition.wait()
            return None

    def _ready(self) -> Optional[Task]:
        best: Optional[Task] = None
        before: List[Claims] = [task.claims for task in self._running]
        for task in self._pending:
            if not any(task.claims.conflicts(earlier) for earlier in before):
                if best is None or task.cost > best.cost:
                    best = task
            before.append(task.claims)
            if task.claims.barrier:
                break  # nothing behind a barrier may overtake it
        return best

    def _finish(self, task: Task) -> None:
        with self._condition:
            self._running.remove(task)
            self._done += 1
            self._condition.notify_all()


def by_table(costs: Dict[str, int], held: Claims) -> int:
    """Return the cost of a statement: the size of the largest table it claims."""
    return max((costs.get(name, 0) for name in held.exclusive | held.shared), default=0)
