# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Putting a restored database in the live one's place, and back, by renames in one transaction."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, List, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.database import end_sessions

_GRACE = 0.1  # seconds a cancelled query has to end before its session is terminated
_TERMINATE_EVERY = 0.005  # clients reconnect at once: whoever comes back while the rename waits must go
_UNCHANGED = (
    "the live database has its name and its data; see who holds it in pg_stat_activity, then try again"
)


@dataclass(frozen=True)
class Rename:
    """One database gets another name and the mark that goes with its new place."""

    old: str
    new: str
    mark: Optional[marks.Mark]


class _Terminator:
    """Ends the sessions of databases over and over, on a connection of its own, until told to stop."""

    def __init__(self, login: pg.Login, names: Sequence[str]) -> None:
        self._connection = login.connect()
        self._names = list(names)
        self._stop = threading.Event()
        self.ended = 0
        self._thread = threading.Thread(target=self._run, name="oncall-terminate", daemon=True)

    def cancel(self) -> int:
        """Ask every session to give up its query, and count them; those that listen lose only that query."""
        return sum(end_sessions(self._connection, name, "cancel") for name in self._names)

    def start(self) -> None:
        """Terminate once, then keep on in the background."""
        self._round()
        self._thread.start()

    def stop(self) -> None:
        """End the background work and the connection."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._connection.close()

    def _round(self) -> None:
        for name in self._names:
            self.ended += end_sessions(self._connection, name)

    def _run(self) -> None:
        while not self._stop.wait(_TERMINATE_EVERY):
            try:
                self._round()
            except pg.Error:
                return  # the rename notices by itself that somebody stayed


def swap(login: pg.Login, renames: Sequence[Rename], *, timeout: float) -> Tuple[float, int]:
    """Do all renames in one transaction; return (milliseconds without a live name, sessions ended).

    Clients are refused from the first termination to the commit. Whatever fails leaves every name as it was.
    Raises ConflictError when sessions cannot be ended within `timeout` seconds.
    """
    connection = login.connect()
    terminator = _Terminator(login, [rename.old for rename in renames])
    try:
        _look_again_soon(connection)
        if terminator.cancel():
            time.sleep(_GRACE)
        began = time.monotonic()
        terminator.start()
        _rename_until(connection, renames, began + timeout)
        window = (time.monotonic() - began) * 1000
        return round(window, 1), terminator.ended
    finally:
        terminator.stop()
        connection.close()


def _look_again_soon(connection: Any) -> None:
    """Make a rename that finds a session look again after milliseconds.

    The server sleeps 0.1 s between two looks, and clients are refused meanwhile. Its check whether its own
    client is still there has a timer, and that ends the sleep early.
    """
    with contextlib.suppress(pg.Error):  # before PostgreSQL 14 the switch takes the 0.1 s longer
        pg.rows(connection, "SET client_connection_check_interval = '5ms'")


def _rename_until(connection: Any, renames: Sequence[Rename], deadline: float) -> None:
    while True:
        try:
            _rename(connection, renames)
            return
        except pg.Error as error:
            # 55006: somebody is connected; 55P03: somebody is connecting right now; 40P01: deadlock.
            if error.pgcode not in ("55006", "55P03", "40P01"):
                raise _switch_error(renames, error) from None
            if time.monotonic() > deadline:
                raise _switch_error(renames, error) from None


def _rename(connection: Any, renames: Sequence[Rename]) -> None:
    pg.rows(connection, "BEGIN")
    try:
        pg.rows(connection, "SET LOCAL lock_timeout = '2s'")
        for rename in renames:
            pg.rows(
                connection,
                pg.statement("ALTER DATABASE {} RENAME TO {}", pg.ident(rename.old), pg.ident(rename.new)),
            )
        for rename in renames:
            marks.set_mark(connection, rename.new, rename.mark)
        pg.rows(connection, "COMMIT")
    except BaseException:
        with contextlib.suppress(pg.Error):  # a connection that broke has nothing to roll back
            pg.rows(connection, "ROLLBACK")
        raise


def _switch_error(renames: Sequence[Rename], error: Any) -> OncallError:
    what = ", ".join("%s to %s" % (rename.old, rename.new) for rename in renames)
    got = " ".join(str(error).split())
    if error.pgcode == "42501":
        step = "log in as the databases' owner with CREATEDB, or as a superuser; nothing was renamed"
        return OncallError("rename " + what, got=got, next_step=step, kind="denied")
    if not error.pgcode or error.pgcode.startswith(("08", "57P")):
        step = "see whether the server runs and read the end of its log, then run the restore again"
        return OncallError("rename " + what, got=got, next_step=step, kind="server_gone")
    return ConflictError("rename " + what, got=got, next_step=_UNCHANGED, kind="switch")


def answers(login: pg.Login, name: str) -> None:
    """Connect under the live name and run a query there, as a client would; raise when that fails."""
    connection = login.connect(name)
    try:
        pg.value(connection, "SELECT count(*) FROM pg_catalog.pg_class")
    except pg.Error as error:
        raise OncallError(
            "run a query in %s" % name,
            got=" ".join(str(error).split()),
            next_step="read the end of the server's log",
            kind="no_answer",
        ) from None
    finally:
        connection.close()


def forward(
    database: str, restored: str, before: str, mark: marks.Mark, live: Optional[marks.MarkedDatabase]
) -> List[Rename]:
    """Return the renames that put `restored` in service; `live` is None when there is no live database.

    The old database keeps from which backup it came itself, so that an undo gives that back too.
    """
    renames = [Rename(restored, database, mark.moved("live"))]
    if live is None:
        return renames
    was = live.mark or marks.Mark("", "", "")
    old = replace(mark, role="before", phase="switched", key=was.key, etag=was.etag, origin=was.run)
    return [Rename(database, before, old), *renames]


def backward(database: str, before: str, after: str, mark: marks.Mark, old: marks.Mark) -> List[Rename]:
    """Return the renames of an undo: the old database (`before`) is live again, the restored one is kept."""
    live = replace(old, run=old.origin, origin="", role="live") if old.origin else None
    return [Rename(database, after, mark.moved("after")), Rename(before, database, live)]
