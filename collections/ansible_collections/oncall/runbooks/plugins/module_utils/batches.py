# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changing many rows in short transactions, so that no other client waits long for one of them."""

from __future__ import annotations

__metaclass__ = type

import random
import time
from contextlib import closing, contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, TypeVar

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UnreachableError,
)

# What the server says when somebody else holds what a transaction needs: rolled back, it may be tried again.
DEADLOCK, SERIALIZATION, LOCKED, TIMED_OUT = "40P01", "40001", "55P03", "57014"
BUSY = (DEADLOCK, SERIALIZATION, LOCKED, TIMED_OUT)
# Shares of the longest wait: what a transaction aims at, and when the server ends it. The rest is for its
# end, and for what whoever waited has to do after.
_GOAL, _END = 0.4, 0.75
_SMALLEST = 20
_TRIES = 6
Item = TypeVar("Item")

_SESSION = (
    "SET default_transaction_isolation = 'read committed'",
    "SET row_security = off",  # a query that row security would cut is an error then
    "SET datestyle = 'ISO'",
    "SET intervalstyle = 'iso_8601'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 3",
    "SET jit = off",
)


class Work(Protocol):
    """What changes many rows, or takes that back.

    what: what it does, as errors say it ("revoke tokens"). params: the module's options, among them database,
    max_wait_ms and timeout. changed: whether something is another, at any time. way_back: how that is taken
    back, in the shape of a result's `undo`, as soon as it is known.
    """

    what: str
    params: Mapping[str, Any]
    run: str
    login: pg.Login
    changed: bool
    way_back: Optional[Dict[str, Any]]

    def do(self, reader: Any, *, check_mode: bool) -> Dict[str, Any]:
        """Do it and return the module's result."""


def read_session(login: pg.Login, database: str, timeout: float) -> Any:
    """Return a session that the server keeps from writing; its statements end within `timeout` seconds."""
    options = "-c default_transaction_read_only=on -c lock_timeout=5000 -c statement_timeout=%d"
    session = login.connect(database, options=options % int(timeout * 1000))
    # A walk in the order of the key shall follow the key's index, never sort what is left each time.
    for setting in (*_SESSION, "SET enable_sort = off"):
        pg.rows(session, setting)
    return session


def write_session(
    login: pg.Login, database: str, max_wait_ms: float, *, what: str, wait_for_disk: bool
) -> Any:
    """Return a session whose transactions give up before another client has waited `max_wait_ms` for them.

    what: what is done with it, for the error when the server takes no writes ("revoke tokens").
    """
    limits = "-c statement_timeout=%d -c lock_timeout=%d" % (max_wait_ms * _END, max(1, max_wait_ms / 5))
    session = login.connect(database, options=limits)
    _refuse_read_only(session, database, what)
    for setting in (*_SESSION, "SET enable_seqscan = off"):
        pg.rows(session, setting)
    if not wait_for_disk:
        # A batch and its entry are lost together or not at all; the last commit waits for all of them.
        pg.rows(session, "SET synchronous_commit = off")
    _pack_pages(session)
    return session


def _pack_pages(session: Any) -> None:
    """Have the pages packed that go into the WAL whole, as each does that is touched after a checkpoint.

    Where few rows of each page are changed, such pages are most of the WAL. Whether it may be set is asked
    before: a refusal would stand in the server's log.
    """
    ((now, ways, allowed),) = pg.rows(
        session,
        "SELECT setting, enumvals, current_setting('is_superuser') = 'on' FROM pg_settings"
        " WHERE name = 'wal_compression'",
    )
    if now == "off" and allowed:
        best = "lz4" if "lz4" in (ways or ()) else "on"
        pg.rows(session, pg.statement("SET wal_compression = {}", best))


def _refuse_read_only(session: Any, database: str, what: str) -> None:
    if pg.value(session, "SELECT current_setting('transaction_read_only')") == "on":
        raise OncallError(
            what,
            on="database %s" % database,
            got="it is read-only (a replica, or default_transaction_read_only is on)",
            next_step="log in to the primary server, or end the read-only state",
            kind="read_only",
        )


@contextmanager
def only_one(session: Any, run: str, what: str, patience: float = 5.0) -> Iterator[None]:
    """Hold the lock of this run; a session that was killed a moment ago gets `patience` seconds to end."""
    deadline = time.monotonic() + patience
    names = ("oncall.runbooks", run)
    while not pg.value(session, "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))", names):
        if time.monotonic() > deadline:
            raise ConflictError(
                what,
                on="run %s" % run,
                got="somebody else works on the same run",
                next_step="wait for it to end; its session is called oncall-%s" % run,
                kind="same_run",
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        if not session.closed:
            pg.rows(session, "SELECT pg_advisory_unlock(hashtext(%s), hashtext(%s))", names)


@contextmanager
def working(work: Work, *, wait_for_disk: bool) -> Iterator[Any]:
    """Yield the session that does the work, alone on this run, and close it."""
    database, wait = work.params["database"], work.params["max_wait_ms"]
    session = write_session(work.login, database, wait, what=work.what, wait_for_disk=wait_for_disk)
    try:
        with only_one(session, work.run, work.what):
            yield session
    finally:
        session.close()


class Pace:
    """How many rows one transaction takes: as many as fit into its share of the longest wait."""

    def __init__(self, size: int, max_wait_ms: float) -> None:
        self.limit = size
        # How long a row takes is not known yet; it grows within a few transactions.
        self.size = max(1, size // 8)
        self.max_wait_ms = max_wait_ms
        self.longest_ms = 0.0
        self.transactions = 0
        self.retries = 0

    def took(self, milliseconds: float, rows: int) -> None:
        """Learn from a transaction of `rows` rows."""
        self.transactions += 1
        self.longest_ms = max(self.longest_ms, milliseconds)
        goal = self.max_wait_ms * _GOAL
        if milliseconds > goal:
            self.shrink(max(0.5, goal / milliseconds))
        elif rows >= self.size / 2:
            grown = int(self.size * min(1.25, goal / max(milliseconds, 0.01)))
            self.size = min(self.limit, max(self.size + 1, grown))

    def shrink(self, factor: float = 0.5) -> None:
        """Take fewer rows from now on."""
        self.size = max(min(_SMALLEST, self.limit), int(self.size * factor))

    def run(self, action: Callable[[], int]) -> int:
        """Run one transaction and learn from it, also from one that the server refused."""
        started = time.monotonic()
        rows = 0
        try:
            rows = action()
            return rows
        finally:
            self.took((time.monotonic() - started) * 1000, rows)

    def chunks(self, items: Sequence[Item]) -> Iterator[List[Item]]:
        """Yield the items in parts of the size that fits at the moment."""
        at = 0
        while at < len(items):
            part = list(items[at : at + self.size])
            at += len(part)
            yield part

    def retried(self, action: Callable[[], int]) -> Optional[int]:
        """Run a transaction, again after a pause when others were in its way; None when they stay there."""
        for attempt in range(_TRIES):
            try:
                return self.run(action)
            except pg.Error as error:
                if not busy(error):
                    raise
                self.retries += 1
                self.shrink()
            time.sleep(random.uniform(0.2, 1.0) * 0.01 * 2**attempt)
        return None


def busy(error: Exception) -> bool:
    """Whether the server rolled back because somebody else holds what was needed, or time was up."""
    return getattr(error, "pgcode", None) in BUSY


def server_error(error: Exception, what: str, on: str, run: str) -> OncallError:
    """Return the domain error for a psycopg2 `error` in the middle of doing `what`."""
    code = getattr(error, "pgcode", None) or ""
    got = " ".join(str(error).split()) or type(error).__name__
    if not code or code.startswith(("08", "57P")):
        step = (
            "see whether the server runs; then run again with run: %s, which goes on where this ended" % run
        )
        return UnreachableError(what, on=on, got=got, next_step=step, kind="connection_lost")
    if code in BUSY:
        step = (
            "end what holds the lock (postgres_sessions with blocking: true), then run again with run: %s"
            % run
        )
        return ConflictError(what, on=on, got=got, next_step=step, kind="locked")
    step = "remove the cause, then run again with run: %s, which goes on where this ended" % run
    return OncallError(what, on=on, got="%s (SQLSTATE %s)" % (got, code), next_step=step)


def carry_out(work: Work, *, check_mode: bool) -> Dict[str, Any]:
    """Do the work in a session of its own; an error then says whether something was changed before it."""
    database = work.params["database"]
    with closing(read_session(work.login, database, work.params["timeout"])) as reader:
        try:
            return work.do(reader, check_mode=check_mode)
        except OncallError as error:
            error.changed = error.changed or work.changed
            if error.changed:
                error.undo = error.undo or work.way_back
            raise
        except pg.Error as error:
            made = server_error(error, work.what, "database %s" % database, work.run)
            made.changed = work.changed
            made.undo = work.way_back if work.changed else None
            raise made from None
