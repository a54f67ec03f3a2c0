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
from typing import Any, Callable, Deque, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
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
    ended: bool = False


Chunk = Tuple[Table, int, bytes]  # table, number of its first row (from 1), rows


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
    ) -> None:
        self._open, self._close, self._on_rows = open_session, close_session, on_rows
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

    def feed(self, data: bytes) -> None:
        """Hand over whole rows of the current table; waits while all sessions are behind."""
        table = self._current
        if table is None:
            raise AssertionError("rows before their COPY")
        first = table.rows_fed + 1
        table.rows_fed += data.count(b"\n")
        with self._condition:
            self._condition.wait_for(lambda: self._error is not None or len(self._chunks) < self._limit)
            self._raise_error()
            self._chunks.append((table, first, data))
            self._condition.notify_all()

    def end(self) -> None:
        """The current table has no more rows."""
        with self._condition:
            if self._current is not None:
                self._current.ended = True
            self._current = None
            self._condition.notify_all()

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
                if self._chunks and table in (None, self._chunks[0][0]):
                    chunk = self._chunks.popleft()
                    if table is None:
                        self._busy += 1
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
                self._copy(session, chunk)
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

    def _copy(self, session: Session, first: Chunk) -> None:
        table = first[0]
        reader = _Reader(first, lambda: self._take(table), self._on_rows, session.connection.fileno())
        session.adopt(table.settings)
        try:
            with session.connection.cursor() as cursor:
                cursor.copy_expert(table.statement, reader)
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
        table, first_row, data = chunk
        self._lines.append(self._sent + 1)
        self._first_rows.append(first_row)
        rows = data.count(b"\n")
        self._sent += rows
        self._on_rows(rows, table.name)
        return data

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
