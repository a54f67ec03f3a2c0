# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions that load a dump: safe settings of their own, the dump's settings, errors with context."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import math
import os
import re
import socket
import threading
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

# Nothing here outlives its session, and none of it can lose a committed row of the live database: with
# synchronous_commit off only the last moments of a crashed *load* are lost, and a crashed load is dropped.
_ALWAYS = {
    "synchronous_commit": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    "client_min_messages": "error",
    "row_security": "off",
}
_CANCEL_WITHIN = 3.0  # seconds for a server to take a cancel

_SET = re.compile(rb"\s*SET\s+(?:SESSION\s+)?(?P<name>(?:SESSION\s+)?[\w.]+)", re.I)
_SET_CONFIG = re.compile(rb"\s*SELECT\s+(?:pg_catalog\.)?set_config\('(?P<name>[^']+)'", re.I)
# Parts of CONTEXT that quote a customer's data; table, line and column stay.
_VALUE = re.compile(r"(COPY [^\n]*?, line \d+(?:, column [^:\n]+)?): .*", re.S)

Settings = Tuple[Tuple[bytes, bytes], ...]


_LEAST_MEMORY = 16 * 1024  # kB that a sort is given
_RUN_BUFFER = 264  # kB of them that the server needs for each sorted run while it merges runs


def sort_memory(size: int, most: int) -> int:
    """Return the memory for a sort of `size`: as little as lets the server merge all runs at once. In kB.

    More makes it slower: what does not fit the processor's cache is sorted at the speed of memory.
    """
    return min(most, max(_LEAST_MEMORY, math.isqrt(size * _RUN_BUFFER)))


def session_settings(free: Optional[int], jobs: int, version: int = 0) -> Dict[str, str]:
    """Return safe session settings: index memory from what is free (bytes, None = unknown), capped."""
    each = (free // 4 // jobs) if free else 64 * 1024 * 1024
    each = max(64 * 1024 * 1024, min(each, 512 * 1024 * 1024))
    made = {"maintenance_work_mem": "%dkB" % (each // 1024)}
    if jobs > 1:  # the sessions are the parallelism: workers beside them would fight for the same cores
        made["max_parallel_maintenance_workers"] = "0"
    if version >= 110000:  # compiling a foreign key's one query takes longer than it saves
        made["jit"] = "off"
    if (
        version >= 140000
    ):  # a backend notices within seconds that we were killed, even while it builds an index
        made["client_connection_check_interval"] = "2s"
    return made


def free_memory() -> Optional[int]:
    """Return the available bytes of memory of this machine, None when it does not say."""
    try:
        with open("/proc/meminfo") as stream:
            found = re.search(r"^MemAvailable:\s+(\d+) kB", stream.read(), re.M)
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def setting_name(statement: bytes) -> Optional[bytes]:
    """Return the name of the setting that SET or set_config() changes; None for any other statement."""
    match = _SET.match(statement) or _SET_CONFIG.match(statement)
    return match.group("name").lower() if match else None


class Session:
    """One connection to the database that is loaded; `memory` is its maintenance_work_mem in kB."""

    def __init__(self, connection: Any, memory: int = 64 * 1024) -> None:
        self.connection = connection
        self._memory = memory
        self._applied: Dict[bytes, bytes] = {}

    def grant_memory(self, sorted_size: Optional[int] = None) -> None:
        """Give the next statement what a sort of that size (kB) needs, else all that this session has."""
        memory = self._memory if sorted_size is None else sort_memory(sorted_size, self._memory)
        self.adopt(((b"maintenance_work_mem", b"SET maintenance_work_mem = '%dkB'" % memory),))

    def adopt(self, settings: Settings) -> None:
        """Make the dump's settings that differ from this session's the session's own."""
        for name, statement in settings:
            if self._applied.get(name) != statement:
                self.execute(statement, "apply a setting of the dump")
                self._applied[name] = statement

    def execute(self, statement: bytes, tried: str, line: int = 0) -> int:
        """Run one statement of the dump as it is; return the rows it touched (-1: none to tell)."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statement)
                return int(cursor.rowcount)
        except pg.Error as error:
            raise load_error(error, tried, statement, line) from None

    def execute_retrying(self, statement: bytes, tried: str, attempts: int = 3) -> None:
        """Run one statement by itself again when it was the victim of a deadlock: it left nothing behind."""
        for attempt in range(attempts):
            try:
                self.execute(statement, tried)
                return
            except OncallError as error:
                if error.kind != "deadlock" or attempt == attempts - 1:
                    raise

    def begin(self) -> None:
        """Open a transaction unless one is open (by us or by the dump)."""
        if self.connection.get_transaction_status() == pg.IDLE:
            pg.rows(self.connection, "BEGIN")

    def commit(self) -> None:
        """Commit what is open, if anything is."""
        if self.connection.get_transaction_status() != pg.IDLE:
            try:
                pg.rows(self.connection, "COMMIT")
            except pg.Error as error:
                raise load_error(error, "commit statements of the dump", b"COMMIT", 0) from None


class Sessions:
    """Opens sessions to one database, and ends every one of them when told."""

    def __init__(self, login: pg.Login, database: str, settings: Mapping[str, str]) -> None:
        self._login, self._database = login, database
        self._settings = {**_ALWAYS, **settings}
        self._lock = threading.Lock()
        self._open: List[Any] = []
        self._stopped = False

    def open(self) -> Session:
        """Return a new session with the safe settings; raise when the work was stopped."""
        connection = self._login.connect(self._database)
        with self._lock:
            self._open.append(connection)
            stopped = self._stopped
        if stopped:
            self.close(Session(connection))
            raise OncallError(
                "open a session", on=self._database, got="the restore was stopped", kind="stopped"
            )
        for name, value in self._settings.items():
            pg.rows(connection, pg.statement("SET {} = {}", pg.ident(name), value))
        return Session(connection, int(self._settings["maintenance_work_mem"][: -len("kB")]))

    def close(self, session: Session) -> None:
        """End one session."""
        with self._lock:
            if session.connection in self._open:
                self._open.remove(session.connection)
            session.connection.close()

    def stop(self) -> None:
        """Cancel what every session does, from any thread; no session opens afterwards.

        A server that is frozen, or a network that takes nothing more, does not hear a cancel: then closing
        our end is what wakes whoever waits for it.
        """
        with self._lock:
            self._stopped = True
            connections = list(self._open)
        cancelling = [threading.Thread(target=_cancel, args=(c,), daemon=True) for c in connections]
        for thread in cancelling:
            thread.start()
        deadline = time.monotonic() + _CANCEL_WITHIN
        for thread in cancelling:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:  # under it nobody closes one: its descriptor is not another one's yet
            for connection in self._open:
                _shut(connection)

    def close_all(self) -> None:
        """End every session that is still open."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open = []


def _cancel(connection: Any) -> None:
    with contextlib.suppress(pg.Error):  # it ended by itself meanwhile: what we wanted
        connection.cancel()


def _shut(connection: Any) -> None:
    try:
        ours = socket.socket(fileno=os.dup(connection.fileno()))
    except (OSError, pg.Error):
        return  # closed already
    with ours, contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)


# SQLSTATE (or its first characters), kind of error, what to do next. First match wins.
_CAUSES: Tuple[Tuple[str, str, str], ...] = (
    ("53100", "disk_full", "free space on the server's disk, then run the restore again"),
    ("53200", "out_of_memory", "free memory on the server, or use fewer jobs"),
    ("53300", "too_many_clients", "end idle sessions or raise max_connections, or use fewer jobs"),
    ("57P", "server_stopped", "see why the server stopped in its log; run the restore again when it is up"),
    ("57014", "cancelled", "run the restore again"),
    ("40P01", "deadlock", "run the restore again with jobs: 1"),
    ("42501", "denied", "log in as the role that owned the dumped objects, or as a superuser"),
    ("23", "bad_data", "the backup does not fulfil its own constraints: choose an earlier backup"),
    ("22", "bad_data", "the backup holds a value its table refuses: choose an earlier backup"),
)


def load_error(error: Any, tried: str, statement: bytes, line: int, context: str = "") -> OncallError:
    """Return the domain error for a statement of the dump that the server refused."""
    state, text = error.pgcode or "", str(getattr(error.diag, "message_primary", None) or error).strip()
    kind, next_step = _cause(state, text)
    where = context or _VALUE.sub(r"\1", getattr(error.diag, "context", None) or "").split("\n")[0]
    shown = " ".join(statement[:200].decode("utf-8", "replace").split())
    on = "; ".join(part for part in (where, "line %d of the dump" % line if line else "", shown) if part)
    return OncallError(tried, on=on, got=" ".join(text.split()), next_step=next_step, kind=kind)


def _cause(state: str, text: str) -> Tuple[str, str]:
    missing = re.search(r'role "(.+)" does not exist', text)
    if missing:
        role = missing.group(1)
        return "missing_role", 'create the role (CREATE ROLE "%s"), then run the restore again' % role
    missing = re.search(r'extension "(.+?)" is not available|open extension control file "([^"]+)"', text)
    if missing:
        name = missing.group(1) or missing.group(2).rsplit("/", 1)[-1].replace(".control", "")
        return "missing_extension", (
            "install the extension %s on the server (package postgresql-contrib, or the extension's own)"
            % name
        )
    missing = re.search(r'tablespace "(.+)" does not exist', text)
    if missing:
        return "missing_tablespace", "create the tablespace %s, then run the restore again" % missing.group(1)
    for prefix, kind, next_step in _CAUSES:
        if state.startswith(prefix):
            return kind, next_step
    if not state or state.startswith("08"):
        return (
            "server_gone",
            "see whether the server runs and read the end of its log, then run the restore again",
        )
    return (
        "refused_statement",
        "choose another backup, or repair what the message names and run the restore again",
    )
