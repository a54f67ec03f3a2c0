# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup of the live database: what can be known before, and the work of a job that makes it."""

from __future__ import annotations

__metaclass__ = type

import os
import re
import subprocess
import time
from typing import Any, Callable, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import job_lock
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.control import UrlBook
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.fetch import Part
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job import MakeWork, Work
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_copy import DatabaseCopy, Purpose
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_source import tools_of
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress, human_bytes

_NEXT = "nothing of it is in the bucket; see why, then take the backup again"
_ANSWER_WITHIN = 20  # seconds


class Backup:
    """Makes one backup; `stop` may be called from another thread at any time."""

    def __init__(
        self,
        options: RestoreOptions,
        urls: UrlBook,
        progress: Progress,
        *,
        lock_wait: int,
        uploaded: Optional[Part] = None,
    ) -> None:
        self._options, self._uploaded = options, uploaded
        purpose = Purpose("a backup", "copy", "backup", _NEXT, lock_wait)
        self._copy = DatabaseCopy(options, urls, progress, tools_of(options), purpose)
        self.what, self.again = "back up %s" % options.database, _NEXT
        # There is no moment in which it may not be stopped, and the controller cleans up.
        self.in_switch, self.cleaning, self.left_behind = False, False, ""

    def stop(self) -> None:
        """End the copy."""
        self._copy.stop()

    def forbid_switch(self) -> bool:
        """There is none: a backup may be stopped at any time."""
        return True

    def left_unchanged(self) -> bool:
        """A backup only reads."""
        return True

    def run(self) -> Dict[str, Any]:
        """Make and prove the backup; return its key, size, checksum and rows. Raises OncallError."""
        connection = self._options.login.connect()
        try:
            job_lock.acquire(connection, self._options.database, "backup")
            began = time.monotonic()
            copy = self._copy.prove(self._uploaded) if self._uploaded else self._copy.make()
            return {"copy": copy, "duration_s": round(time.monotonic() - began, 3)}
        finally:
            connection.close()


def backing_up(options: RestoreOptions, lock_wait: int, take_up: Mapping[str, Any]) -> MakeWork:
    """Return what makes the work of a backup once the job has its process.

    `take_up` is an object of the bucket (key, size, etag) that is only to be proved, or empty.
    """
    uploaded = Part(take_up["key"], take_up["size"], take_up["etag"]) if take_up else None

    def make(urls: UrlBook, progress: Progress, _hear: Callable[[], None]) -> Work:
        return Backup(options, urls, progress, lock_wait=lock_wait, uploaded=uploaded)

    return make


def foresee(options: RestoreOptions) -> Dict[str, Any]:
    """Return what a backup will be of: the size of the database (bytes), the versions of server and pg_dump.

    Raises OncallError for what would make it fail: no such database, no pg_dump, or one that is too old.
    """
    connection = options.login.connect(options.database)
    try:
        server = pg.server_facts(connection)
        size = int(pg.value(connection, "SELECT pg_database_size(current_database())"))
    finally:
        connection.close()
    version = _pg_dump_version(options)
    if int(version.split(".")[0]) < server.major:
        raise OncallError(
            "back up %s" % options.database,
            on="pg_dump %s" % version,
            got="it is older than the server (%s), which it refuses" % server.version_text,
            next_step="set client_dir to the folder of the server's own programs; nothing was changed",
            kind="pg_dump_too_old",
        )
    return {"size": size, "size_text": human_bytes(size), "pg_dump": version, "server": server.version_text}


def _pg_dump_version(options: RestoreOptions) -> str:
    tools = tools_of(options)
    command = [*tools.prefix, os.path.join(tools.client_dir, "pg_dump"), "--version"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=_ANSWER_WITHIN,
            check=False,
        )
        said, got = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        said, got = "", str(error)
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", said)
    if found is None:
        raise OncallError(
            "ask pg_dump for its version",
            on=" ".join(command[:-1]),
            got=" ".join((got or said).split())[-300:] or "it said nothing",
            next_step="set client_dir to the folder of the server's programs, or install the package "
            "postgresql-client; nothing was changed",
            kind="pg_dump_missing",
        )
    return found.group(1)
