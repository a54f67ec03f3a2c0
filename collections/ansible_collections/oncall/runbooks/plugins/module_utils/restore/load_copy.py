# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Spreading the rows of COPY over several sessions."""

from __future__ import annotations

__metaclass__ = type

import re
import select
import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, List, NamedTuple, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.events import CopyData
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_session import (
    Session,
    Settings,
    load_error,
)

_CHUNKS_PER_JOB = 2  # of about 1 MiB: enough to keep a session busy, little memory
_LINE = re.compile(r", line (\d+)")


@dataclass
class Table:
    """One COPY of the dump."""

    name: str
    statement: bytes
    settings: Settings
    line: int
    rows_fed: int = 0
    rows_taken: int = 0  # what the server said to have stored
    waiting: int = 0  # chunks that no session has begun
    copying: int = 0  # sessions that are in its COPY
    ended: bool = False


class Chunk(NamedTuple):
    """A piece of a table; `first` is the number of its first row in the dump's COPY (from 1)."""

    table: Table
    first: int
    rows: int
    data: bytes


class CopyPool:
    """Threads with a session each; a table's chunks go to whichever is free.

    A small table needs one session; a large one is loaded by all of them at once. The order of rows within a
    table is not kept (no query may rely on it).
    """

    def __init__(
        self,
        jobs: int,
        open_session: Callable[[], Session],
        close_session: Callable[[Session], None],
        on_rows: Callable[[int, str], None],
        on_table: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._open, self._close, self._on_rows = open_session, close_session, on_rows
        self._on_table = on_table  # told of each table whose rows are all in and committed
        self._limit = jobs * _CHUNKS_PER_JOB
        self._condition = threading.Condition()
        self._chunks: Deque[Chunk] = deque()
        self._current: Optional[Table] = None
        self._busy = 0
        self._closed = False
        self._error: Optional[BaseException] = None
        self._threads = [
            threading.Thread(target=self._work, name="oncall-copy-%d" % n, daemon=True) for n in range(jobs)
        ]
        for thread in self._threads:
            thread.start()

    def start(self, table: Table) -> None:
        """Begin a table: an empty COPY is not sent at all."""
        self._current = table

    def feed(self, piece: CopyData) -> None:
        """Hand over whole rows of the current table; waits while all sessions are behind."""
        table = self._current
        if table is None:
            raise AssertionError("rows before their COPY")
        first = table.rows_fed + 1
        table.rows_fed += piece.rows
        with self._condition:
            self._condition.wait_for(lambda: self._error is not None or len(self._chunks) < self._limit)
            self._raise_error()
            table.waiting += 1
            self._chunks.append(Chunk(table, first, piece.rows, piece.data))
            self._condition.notify_all()

    def end(self) -> None:
        """The current table has no more rows."""
        table, self._current = self._current, None
        if table is None:
            return
        with self._condition:
            table.ended = True
            self._condition.notify_all()
        self._check_done(table)

    def _check_done(self, table: Table) -> None:
        """Tell of a table when the last of its rows is committed; hold the server's count against ours."""
        with self._condition:
            if not table.ended or table.waiting or table.copying:
                return
            table.ended = False  # it is told once
        if table.rows_taken != table.rows_fed:
            raise VerificationError(
                "load table %s" % table.name,
                got="%d rows were sent but the server stored %d" % (table.rows_fed, table.rows_taken),
                next_step="look for a rule or trigger that drops rows; the live database is untouched",
            )
        self._on_table(table.name)

    def drain(self) -> None:
        """Wait until the server has taken every row of every table; raise the first error."""
        with self._condition:
            self._condition.wait_for(lambda: self._error is not None or (not self._chunks and not self._busy))
            self._raise_error()

    def close(self) -> None:
        """End the threads and their sessions. Rows that were not taken are given up."""
        with self._condition:
            self._closed = True
            self._error = self._error or OncallError("load rows", got="the load was stopped", kind="stopped")
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _take(self, table: Optional[Table]) -> Optional[Chunk]:
        """Return the next chunk (of `table` when given); None when there will be none."""
        with self._condition:
            while self._error is None and not self._closed:
                if self._chunks and (table is None or table is self._chunks[0].table):
                    chunk = self._chunks.popleft()
                    chunk.table.waiting -= 1
                    if table is None:
                        self._busy += 1
                        chunk.table.copying += 1
                    self._condition.notify_all()
                    return chunk
                if table is not None and (self._chunks or table.ended):
                    return None
                self._condition.wait()
            if table is not None:
                raise OncallError("load rows", got="the load was stopped", kind="stopped")
            return None

    def _work(self) -> None:
        session: Optional[Session] = None
        try:
            while True:
                chunk = self._take(None)
                if chunk is None:
                    return
                session = session or self._open()
                taken = self._copy(session, chunk)
                with self._condition:
                    chunk.table.rows_taken += taken
                    chunk.table.copying -= 1
                self._check_done(chunk.table)
                with self._condition:
                    self._busy -= 1
                    self._condition.notify_all()
        except BaseException as error:
            with self._condition:
                self._error = self._error or error
                self._condition.notify_all()
        finally:
            if session is not None:
                self._close(session)

    def _copy(self, session: Session, first: Chunk) -> int:
        """Run one COPY, as long as there are chunks of its table; return the rows that the server stored."""
        table = first.table
        reader = _Reader(first, lambda: self._take(table), self._on_rows, session.connection.fileno())
        session.adopt(table.settings)
        try:
            with session.connection.cursor() as cursor:
                cursor.copy_expert(table.statement, reader)
                return int(cursor.rowcount)
        except pg.Error as error:
            with self._condition:
                if self._error is not None:  # we stopped it: the first error is the one to tell
                    raise self._error from None
            raise _row_error(error, table, reader) from None


class _Reader:
    """What psycopg2 reads a COPY from; it remembers which row of the dump each of its lines was."""

    def __init__(
        self,
        first: Chunk,
        take: Callable[[], Optional[Chunk]],
        on_rows: Callable[[int, str], None],
        socket: int,
    ) -> None:
        self._next: Optional[Chunk] = first
        self._poll = select.poll()
        self._poll.register(socket, select.POLLIN)
        self._take, self._on_rows = take, on_rows
        self._lines: List[int] = []
        self._first_rows: List[int] = []
        self._sent = 0

    def read(self, _size: int = -1) -> bytes:
        """Return the next chunk whole: psycopg2 takes more than it asked for."""
        if self._next is None and self._poll.poll(0):
            # A server says nothing during COPY unless it refuses a row, and libpq looks only at the end: end
            # here and hear it. Was it a mere notice, the remaining rows go into the next COPY.
            return b""
        chunk = self._next or self._take()
        self._next = None
        if chunk is None:
            return b""
        self._lines.append(self._sent + 1)
        self._first_rows.append(chunk.first)
        self._sent += chunk.rows
        self._on_rows(chunk.rows, chunk.table.name)
        return chunk.data

    def row_of(self, line: int) -> int:
        """Return the row of the dump's COPY that this session saw as `line`."""
        at = bisect_right(self._lines, line) - 1
        return self._first_rows[at] + line - self._lines[at] if at >= 0 else line


def _row_error(error: Any, table: Table, reader: _Reader) -> OncallError:
    where = "table %s" % table.name
    match = _LINE.search(getattr(error.diag, "context", None) or "")
    if match:
        row = reader.row_of(int(match.group(1)))
        where += ", row %d of its COPY" % row
        if table.line:
            where += " (line %d of the dump)" % (table.line + row)
    return load_error(error, "load rows", table.statement, 0, context=where)
