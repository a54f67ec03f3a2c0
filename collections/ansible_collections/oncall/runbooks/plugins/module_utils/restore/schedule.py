# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running the statements after the data in parallel, in dependency order.

Each statement claims resources (tables, indexes), in the way in which the server would lock them. A statement
starts when nothing that came before it in the dump still holds a conflicting claim, so the order of the dump
is kept wherever it could matter, and no session waits for a lock. A statement that is not understood is a
barrier: everything before it ends first, nothing after it starts.
"""

from __future__ import annotations

__metaclass__ = type

import re
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Optional, Sequence, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.events import Sql

_NAME = r'(?:"(?:[^"]|"")+"|[^\s".(;,]+)'
_COMMENT_INDEX = re.compile(r"COMMENT\s+ON\s+INDEX\s+(%s(?:\.%s)?)\s+IS\b" % (_NAME, _NAME), re.I)
_LOOK_AHEAD = 500  # tasks considered at a time: more would not start sooner, only cost time to look at
_ONLY = re.compile(r"ALTER\s+TABLE\s+ONLY\b", re.I)
_NOTHING: FrozenSet[str] = frozenset()


@dataclass(frozen=True)
class Claims:
    """What a statement uses, and how; or that it must run by itself (`barrier`).

    `exclusive`: alone. `shared`: beside other index builds. `referred`: beside other foreign keys that refer
    to it. `tended`: validated or analyzed, one at a time. `read`: beside everything that is not exclusive.
    """

    exclusive: FrozenSet[str] = _NOTHING
    shared: FrozenSet[str] = _NOTHING
    barrier: bool = False
    referred: FrozenSet[str] = _NOTHING
    tended: FrozenSet[str] = _NOTHING
    read: FrozenSet[str] = _NOTHING

    @cached_property
    def by_name(self) -> Tuple[Tuple[str, int], ...]:
        """Each name with the bit of its way; looked at often, so made once."""
        return tuple((name, bit) for way, (bit, _against) in _WAYS.items() for name in getattr(self, way))


# Ways to claim something as bits, each with those that exclude it.
_WAYS = {
    "exclusive": (1, 1 | 2 | 4 | 8 | 16),
    "shared": (2, 1 | 4 | 8),
    "referred": (4, 1 | 2 | 8),
    "tended": (8, 1 | 2 | 4 | 8),
    "read": (16, 1),
}
_AGAINST = dict(_WAYS.values())
BARRIER = Claims(barrier=True)


def claims(sql: Sql) -> Claims:
    """Return what one statement of the post-data section claims.

    Kinds and names come from the source. Without ONLY, ALTER TABLE also locks partitions that are not named
    in it, so it runs alone.
    """
    made = frozenset([sql.creates] if sql.creates else [])
    names = frozenset(sql.names)
    if sql.kind == "INDEX" and names and made:
        return Claims(exclusive=made, shared=names)
    if sql.kind in ("CONSTRAINT", "FK CONSTRAINT") and names and _ONLY.match(sql.text.lstrip()):
        return Claims(exclusive=names | made)
    if sql.kind == "TRIGGER" and names:
        return Claims(exclusive=names)
    index = _COMMENT_INDEX.match(sql.text.lstrip())
    return Claims(exclusive=frozenset([index.group(1)])) if index else BARRIER


class _Held:
    """The union of many claims: one look per task keeps a dump with ten thousand indexes quick."""

    def __init__(self, claims_of: Iterable[Claims]) -> None:
        self._held: Dict[str, int] = {}
        self.barrier = False
        self._any = False
        for claim in claims_of:
            self.add(claim)

    def add(self, claim: Claims) -> None:
        self._any = True
        self.barrier = self.barrier or claim.barrier
        held = self._held
        for name, bit in claim.by_name:
            held[name] = held.get(name, 0) | bit

    def free_for(self, claim: Claims) -> bool:
        if self.barrier or (claim.barrier and self._any):
            return False
        held = self._held
        for name, bit in claim.by_name:  # noqa: SIM110 - all() takes twice as long
            if name in held and held[name] & _AGAINST[bit]:
                return False
        return True


@dataclass
class Task:
    """One statement with its claims; `cost` orders what may start at the same moment (largest first)."""

    run: Callable[[Any], None]
    claims: Claims
    cost: int = 0
    label: str = ""


class Scheduler:
    """Runs tasks on `workers` threads, each with a resource of its own (a session) from `open_resource`.

    Tasks may be added while others run; whoever adds them calls `finish` in the end.
    """

    def __init__(self, workers: int, open_resource: Callable[[], Any], close: Callable[[Any], None]) -> None:
        self._workers, self._open, self._close = workers, open_resource, close
        self._condition = threading.Condition()
        self._pending: List[Task] = []
        self._running: List[Task] = []
        self._awaited: Set[str] = set()
        self._threads: List[threading.Thread] = []
        self._complete = False
        self.error: Optional[BaseException] = None
        self._done = 0

    def run(self, tasks: Sequence[Task]) -> None:
        """Run all tasks; raise the first error after every running task has ended."""
        self.add(tasks)
        self.finish()

    def await_names(self, names: Iterable[str]) -> None:
        """Start nothing that claims one of these (and no barrier) until `release` says that it is there."""
        with self._condition:
            self._awaited.update(names)

    def release(self, *names: str) -> None:
        """What was awaited under these names is there; without a name: everything is."""
        with self._condition:
            self._awaited.difference_update(names or tuple(self._awaited))
            self._condition.notify_all()

    def add(self, tasks: Sequence[Task]) -> None:
        """Add tasks behind those that are there."""
        with self._condition:
            self._pending.extend(tasks)
            for number in range(len(self._threads), min(self._workers, len(self._pending))):
                name = "oncall-schedule-%d" % number
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
            self._condition.notify_all()

    def finish(self) -> None:
        """Wait until everything is done; raise the first error after every running task has ended."""
        with self._condition:
            self._complete = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    def stop(self, error: BaseException) -> None:
        """Start nothing more; `finish` raises `error` unless a task failed before."""
        with self._condition:
            self.error = self.error or error
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
            for task in iter(self._next, None):
                resource = resource or self._open()
                task.run(resource)
                self._finished(task)
        except BaseException as error:
            self.stop(error)
        finally:
            if resource is not None:
                self._close(resource)

    def _next(self) -> Optional[Task]:
        """Wait for a task that may start; None when there is nothing left to do."""
        with self._condition:
            while self.error is None and (self._pending or not self._complete):
                ready = self._ready()
                if ready is not None:
                    self._pending.remove(ready)
                    self._running.append(ready)
                    return ready
                self._condition.wait()
            return None

    def _ready(self) -> Optional[Task]:
        """Return the costliest task that conflicts with nothing before it."""
        best: Optional[Task] = None
        held = _Held(task.claims for task in self._running)
        if self._awaited:
            held.add(Claims(exclusive=frozenset(self._awaited)))
        for task in self._pending[:_LOOK_AHEAD]:
            if held.free_for(task.claims) and (best is None or task.cost > best.cost):
                best = task
            held.add(task.claims)
            if held.barrier:
                break  # nothing may overtake a barrier
        return best

    def _finished(self, task: Task) -> None:
        with self._condition:
            self._running.remove(task)
            self._done += 1
            self._condition.notify_all()
