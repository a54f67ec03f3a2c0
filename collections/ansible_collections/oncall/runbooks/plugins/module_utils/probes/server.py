# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether PostgreSQL accepts connections, answers a query, and can write: three separate questions."""

from __future__ import annotations

__metaclass__ = type

import os
import socket
import time
from contextlib import closing
from typing import Any, Dict, Iterator

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import (
    Login,
    require_psycopg2,
    rows,
    value,
)

Findings = Iterator[Dict[str, Any]]
# Two libpq attempts (ours, then the maintenance database) have to fit into one probe.
CONNECT_TIMEOUT = 2
_READ_ONLY = "-c default_transaction_read_only=on -c lock_timeout=1000 -c statement_timeout=%d"


def read_session(login: Login, database: str, timeout: float) -> Any:
    """Return a session that the server itself keeps from writing, and whose statements end in time."""
    options = _READ_ONLY % max(1, int(timeout * 1000))
    return login.connect(database, timeout=max(CONNECT_TIMEOUT, int(timeout)), options=options)


def any_session(login: Login, database: str, timeout: float) -> Any:
    """Return a reading session on `database`, or on the maintenance database when it does not exist."""
    try:
        return read_session(login, database, timeout)
    except OncallError as exc:
        if exc.kind != "no_database":
            raise
    return read_session(login, login.maintenance_db, timeout)


def measure_accepts(login: Login, timeout: float) -> Findings:
    """Yield whether the port (or the socket) takes a connection. It says nothing about an answer."""
    family, address, shown = _target(login)
    started = time.monotonic()
    try:
        if family == "unix":
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
                sock.settimeout(timeout)
                sock.connect(address)
        else:
            socket.create_connection(address, timeout=timeout).close()
    except OSError as exc:
        text = "Nothing takes a connection on %s: %s." % (shown, exc.strerror or exc)
        yield finding("postgres_accepts", "fail", text, observed={"address": shown, "error": str(exc)})
        return
    took = round((time.monotonic() - started) * 1000, 1)
    text = "%s takes a connection after %g ms (that is not an answer yet)." % (shown, took)
    yield finding("postgres_accepts", "ok", text, observed={"address": shown, "ms": took})


def _target(login: Login) -> Any:
    port = login.port or 5432
    folder = login.unix_socket or (login.host if login.host.startswith("/") else "")
    if login.host and not folder:
        return "tcp", (login.host, port), "%s:%d" % (login.host, port)
    folders = [folder] if folder else ["/var/run/postgresql", "/tmp"]  # noqa: S108 - libpq's own two defaults
    paths = [os.path.join(f, ".s.PGSQL.%d" % port) for f in folders]
    path = next((p for p in paths if os.path.exists(p)), paths[0])
    return "unix", path, path


def measure_answers(login: Login, database: str, timeout: float) -> Findings:
    """Yield whether a real query is answered: a frozen server takes connections and never answers."""
    require_psycopg2()
    started = time.monotonic()
    try:
        with closing(any_session(login, database, timeout)) as session:
            found = rows(
                session,
                "SELECT current_setting('server_version'), current_database(), pg_postmaster_start_time()",
            )[0]
    except OncallError as exc:
        yield finding(
            "postgres_answers",
            "unknown" if exc.kind in ("denied", "tls", "name") else "fail",
            "PostgreSQL answers no query: %s" % exc.message,
            observed={"answers": False, "kind": exc.kind, "error": exc.got},
            expected={"answers": True},
        )
        return
    took = round((time.monotonic() - started) * 1000, 1)
    yield finding(
        "postgres_answers",
        "ok",
        "PostgreSQL %s answers a query in database %s after %g ms." % (found[0], found[1], took),
        observed={
            "answers": True,
            "ms": took,
            "version": found[0],
            "database": found[1],
            "started": str(found[2]),
        },
        expected={"answers": True},
    )


def measure_writes(login: Login, database: str, timeout: float) -> Findings:
    """Yield whether a row can be written, in a transaction that is always rolled back.

    The temporary table is large enough to need new pages on the disk, which a full disk refuses.
    """
    require_psycopg2()
    options = "-c statement_timeout=%d -c lock_timeout=1000" % int(timeout * 1000)
    try:
        session = login.connect(database, timeout=max(CONNECT_TIMEOUT, int(timeout)), options=options)
    except OncallError as exc:
        if exc.kind != "no_database":
            yield _not_measured("postgres_writes", exc)
            return
        session = login.connect(
            login.maintenance_db, timeout=max(CONNECT_TIMEOUT, int(timeout)), options=options
        )
    with closing(session):
        yield _write_probe(session)


def _write_probe(session: Any) -> Dict[str, Any]:
    if value(session, "SELECT pg_is_in_recovery()"):
        return _write_failure("recovery", "the server is in recovery (a replica, or replaying its log)")
    if value(session, "SELECT current_setting('default_transaction_read_only')") == "on":
        return _write_failure("read_only", "default_transaction_read_only is on")
    session.autocommit = False
    started = time.monotonic()
    try:
        value(
            session,
            "CREATE TEMPORARY TABLE oncall_write_probe ON COMMIT DROP AS "
            "SELECT i, repeat('x', 1000) AS filler FROM generate_series(1, 256) i",
        )
    except Exception as exc:
        # psycopg2 may be missing at import time, so its error class cannot be named here.
        return _write_failure(*_write_cause(exc))
    finally:
        session.rollback()
    took = round((time.monotonic() - started) * 1000, 1)
    text = "256 KiB were written and rolled back in %g ms." % took
    return finding(
        "postgres_writes", "ok", text, observed={"writes": True, "ms": took}, expected={"writes": True}
    )


def _write_cause(exc: Exception) -> Any:
    code, got = getattr(exc, "pgcode", None), " ".join(str(exc).split())
    kinds = {"53100": "disk_full", "25006": "read_only", "42501": "permission", "57014": "timeout"}
    return kinds.get(code or "", "other"), got


def _write_failure(kind: str, got: str) -> Dict[str, Any]:
    # Not being allowed to make a temporary table says nothing about the disk.
    status = "unknown" if kind == "permission" else "fail"
    text = "PostgreSQL cannot write (%s): %s." % (kind.replace("_", " "), got.rstrip("."))
    return finding(
        "postgres_writes",
        status,
        text,
        observed={"writes": False, "kind": kind, "error": got},
        expected={"writes": True},
    )


def _not_measured(check: str, exc: OncallError) -> Dict[str, Any]:
    return finding(check, "unknown", "not measured: %s" % exc.message, observed=exc.as_dict())
