# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One restore (or backup) per database at a time: a lock in the server itself, gone with its session."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import time
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks

# Seconds for which the lock of a job that was killed this moment may still be seen: a server that has much
# to do hears late of it, and whoever starts anew at once must not be refused for that.
_ENDING = 5.0
_LOOK_EVERY = 0.05

_HOLDER = """
SELECT a.application_name, a.usename, coalesce(a.client_addr::text, 'a local socket'),
       to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.classid::bigint = %s AND l.objid::bigint = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def lock_key(database: str, what: str = "restore") -> int:
    """Return the advisory lock's number for restores (or backups) of `database`: a signed 64 bit integer."""
    digest = hashlib.sha256(("oncall_runbooks.%s:%s" % (what, database)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def acquire(connection: Any, database: str, what: str = "restore") -> None:
    """Take the lock for as long as `connection` lives; raise ConflictError that names who has it."""
    key = lock_key(database, what)
    deadline = time.monotonic() + _ENDING
    while True:
        if pg.value(connection, "SELECT pg_try_advisory_lock(%s)", (key,)):
            return
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY)
    raise ConflictError(
        "%s %s" % ("restore" if what == "restore" else "back up", database),
        got="another %s of it is running: %s" % (what, _holder(connection, database, key)),
        next_step="wait for it to end, or abort that run",
        kind="locked",
    )


def _holder(connection: Any, database: str, key: int) -> str:
    unsigned = key % (1 << 64)
    found = pg.rows(connection, _HOLDER, (unsigned >> 32, unsigned & 0xFFFFFFFF))
    if not found:
        return "it ended this moment"
    application, role, address, since = found[0]
    run = application[len("oncall-") :] if application.startswith("oncall-") else application
    who = ""
    for other in marks.databases(connection):
        if other.mark is not None and other.mark.of == database and other.mark.run == run and other.mark.who:
            who = ", started by " + other.mark.who
    return "run %s as role %s from %s since %s%s" % (run, role, address, since, who)
