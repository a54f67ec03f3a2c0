# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Loading dump events into an empty database: schema in order, rows and indexes in parallel."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import re
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Iterable, List, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import schedule
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_copy import CopyPool, Table
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_post import PostData, widths
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_session import (
    Session,
    Sessions,
    Settings,
    setting_name,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress

_ALL_ROWS = "(all rows)"  # no table's name: what waits for the rows of every table claims it
_STATEMENTS_PER_COMMIT = 500  # each created table holds locks until its commit; their number is limited
_BYTES_PER_COMMIT = 16 * 1024 * 1024  # of large objects
# A dump made with --clean drops what an empty database does not have.
_DROP = re.compile(r"\s*(?:DROP\s|ALTER\s.*?\sDROP\s)", re.I | re.S)
_NOT_THERE = re.compile(r"does not exist")
_PUBLIC = re.compile(r"\s*CREATE\s+SCHEMA\s+(?:IF NOT EXISTS\s+)?\"?public\"?\s*;", re.I)


@dataclass
class Loaded:
    """What a load brought in."""

    tables: Dict[str, int] = field(default_factory=dict)  # rows per table of the dump, as written there
    created: List[str] = field(default_factory=list)  # tables the dump creates, in order
    unvalidated: int = 0  # constraints that the dump itself declares NOT VALID
    large_objects: int = 0
    statements: int = 0
    warnings: List[str] = field(default_factory=list)
    encoding: Settings = ()  # the dump's client_encoding: table names are in it
    end: Optional[ev.End] = None

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(self.tables.values())


class Loader:
    """Takes the events of one dump; used once.

    `jobs` sessions take rows; `index_jobs` build indexes and constraints: of each table once it is filled
    when the source tells them ahead, else after all rows. `follow` returns what else is to be done with what
    came in: its tasks run beside the last statements of the dump.
    """

    def __init__(
        self,
        sessions: Sessions,
        progress: Progress,
        *,
        jobs: int = 2,
        index_jobs: int = 4,
        follow: Callable[[Loaded], Sequence[schedule.Task]] = lambda _loaded: (),
    ) -> None:
        self._sessions, self._progress = sessions, progress
        self._jobs, self._follow = jobs, follow
        self._loaded = Loaded()
        self._scheduler = schedule.Scheduler(index_jobs, sessions.open, sessions.close)
        self._post = PostData(self._loaded.tables, split=index_jobs > 1)
        self._settings: Dict[bytes, bytes] = {}
        self._pool: Optional[CopyPool] = None
        self._table: Optional[Table] = None
        self._tasks: List[schedule.Task] = []
        self._columns = ""
        self._uncommitted = 0
        self._object_offset = 0

    def load(self, events: Iterable[ev.Event]) -> Loaded:
        """Load everything and return what came in; raise on the first statement that fails.

        The end of the dump was reached and right when this returns: without it nothing may be used.
        """
        self._main: Session = self._sessions.open()
        try:
            for event in events:
                self._take(event)
            if self._loaded.end is None:
                raise VerificationError("read the dump to its end", got="it stopped without its end")
            return self._loaded
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            if self._pool is not None:
                self._pool.close()
            self._sessions.close(self._main)

    def _give_up(self, error: BaseException) -> None:
        """End the indexes that are being built: the first error ends the whole load."""
        self._scheduler.stop(error)
        if self._scheduler.labels():
            self._sessions.stop()
        with contextlib.suppress(BaseException):  # what began this is what is told
            self._scheduler.finish()

    def _take(self, event: ev.Event) -> None:
        if self._scheduler.error is not None:
            raise self._scheduler.error
        if isinstance(event, ev.CopyData):
            self._rows(event)
        elif isinstance(event, ev.CopyStart):
            self._copy_start(event)
        elif isinstance(event, ev.CopyEnd):
            self._copy_end(event)
        elif isinstance(event, ev.LargeObject):
            self._large_object(event)
        elif isinstance(event, ev.Sql):
            self._sql(event)
        elif isinstance(event, ev.Ahead):
            self._ahead(event)
        else:
            self._finish(event)

    def _copy_pool(self) -> CopyPool:
        if self._pool is None:
            self._pool = CopyPool(
                self._jobs, self._sessions.open, self._sessions.close, self._progress.add_rows, self._filled
            )
        return self._pool

    def _copy_start(self, event: ev.CopyStart) -> None:
        self._commit()
        self._table = Table(event.table, event.raw, self._snapshot(), event.line)
        self._columns = event.columns
        self._copy_pool().start(self._table)

    def _rows(self, event: ev.CopyData) -> None:
        if self._table is not None and self._table.name not in self._post.widths:
            self._post.widths[self._table.name] = widths(self._columns, event.data)
        self._copy_pool().feed(event)

    def _copy_end(self, event: ev.CopyEnd) -> None:
        if self._table is None:
            raise AssertionError("the end of a COPY that did not begin")
        table, self._table = self._table, None
        if table.rows_fed != event.rows:
            raise VerificationError(
                "load table %s" % table.name,
                got="%d rows were read but %d handed on" % (event.rows, table.rows_fed),
                next_step="report this as a defect; the live database is untouched",
            )
        self._loaded.tables[table.name] = self._loaded.tables.get(table.name, 0) + event.rows
        self._copy_pool().end()

    def _large_object(self, event: ev.LargeObject) -> None:
        self._main.begin()
        if event.first:
            self._object_offset = 0
            self._loaded.large_objects += 1
        if event.data:
            data = b"\\x" + event.data.hex().encode()
            put = b"SELECT pg_catalog.lo_put(%d, %d, '%s')" % (event.oid, self._object_offset, data)
            self._main.execute(put, "write large object %d" % event.oid)
            self._object_offset += len(event.data)
        self._uncommitted += _STATEMENTS_PER_COMMIT * len(event.data) // _BYTES_PER_COMMIT
        self._commit_sometimes()

    def _sql(self, event: ev.Sql) -> None:
        self._loaded.statements += 1
        name = setting_name(event.raw)
        if name is not None:
            self._set(name, event)
        elif event.section == ev.POST_DATA:
            self._postpone(event)
        else:
            self._execute(event)

    def _set(self, name: bytes, event: ev.Sql) -> None:
        """Remember a setting for the sessions that need it; try it at once where it may be unknown."""
        if event.section != ev.POST_DATA or event.optional:
            if event.optional:
                self._commit()  # a refused statement would take its whole transaction with it
            try:
                self._main.execute(event.raw, "apply a setting of the dump", event.line)
            except OncallError:
                if not event.optional:
                    raise
                self._warn("the server does not know the setting %s: left out" % name.decode())
                return
        self._settings.pop(name, None)
        self._settings[name] = event.raw
        if name == b"client_encoding":
            self._loaded.encoding = ((name, event.raw),)

    def _snapshot(self) -> Settings:
        return tuple(self._settings.items())

    def _execute(self, event: ev.Sql) -> None:
        tried = "run a statement of the dump"
        if _DROP.match(event.text) or _PUBLIC.match(event.text):
            self._commit()
            try:
                self._main.execute(event.raw, tried, event.line)
            except OncallError as error:
                if not _NOT_THERE.search(error.got) and not _PUBLIC.match(event.text):
                    raise
            return
        if event.kind != "TRANSACTION":
            self._main.begin()
        touched = self._main.execute(event.raw, tried, event.line)
        self._note(event, touched)
        self._uncommitted += 1
        self._commit_sometimes()

    def _note(self, event: ev.Sql, touched: int) -> None:
        if event.kind == "TABLE":
            self._loaded.created.extend(event.names[:1])
        elif event.kind == "INSERT" and event.names:
            table = event.names[0]
            self._loaded.tables[table] = self._loaded.tables.get(table, 0) + max(touched, 0)
            self._progress.add_rows(max(touched, 0), table)

    def _commit_sometimes(self) -> None:
        if self._uncommitted >= _STATEMENTS_PER_COMMIT:
            self._commit()

    def _commit(self) -> None:
        self._main.commit()
        self._uncommitted = 0

    def _postpone(self, event: ev.Sql) -> None:
        self._tasks.extend(self._post.plan(event, self._snapshot()))

    def _ahead(self, event: ev.Ahead) -> None:
        """Start what post-data says of a table as soon as its rows are in.

        What names a table that is not filled by its own COPY waits for all rows: a foreign key to the root of
        partitions needs theirs.
        """
        self._commit()
        settings = dict(self._settings)
        self._scheduler.await_names((*event.tables, _ALL_ROWS))
        filled = frozenset(event.tables)
        for statement in event.statements:
            planned = len(self._tasks)
            self._sql(statement)
            if not filled.issuperset(statement.names):
                for task in self._tasks[planned:]:
                    task.claims = replace(task.claims, read=task.claims.read | {_ALL_ROWS})
        self._settings = settings  # those of post-data are not for the rows
        self._scheduler.add(self._tasks)
        self._tasks = []

    def _filled(self, table: str) -> None:
        self._post.weigh([table])
        self._scheduler.release(table)

    def _finish(self, event: ev.End) -> None:
        """The dump is complete and right: now also what does not belong to one table is worth its time."""
        self._commit()
        if self._pool is not None:
            self._pool.drain()
            self._pool.close()
            self._pool = None
        self._loaded.unvalidated = self._post.unvalidated
        self._progress.enter("index", "building %d indexes and constraints, counting rows" % self._post.count)
        self._post.weigh()
        self._scheduler.release()
        self._scheduler.add([*self._tasks, *self._follow(self._loaded)])
        self._scheduler.finish()
        self._loaded.end = event

    def _warn(self, text: str) -> None:
        if text not in self._loaded.warnings:
            self._loaded.warnings.append(text)
