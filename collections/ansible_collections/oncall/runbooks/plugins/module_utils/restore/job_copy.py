# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A fresh copy of the live database in the bucket, proved readable: a backup, or before a restore in place.

Nothing of it is staged on a disk: what pg_dump writes goes to the store part by part, and from there the
whole copy is read again.
"""

from __future__ import annotations

__metaclass__ = type

import hashlib
import http.client
import os
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import IO, Any, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.control import UrlBook, scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress, human_bytes
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source import (
    DumpSource,
    Part,
    Settings,
    Tools,
)

# Names under which the controller is asked for a part's URL, and for the completion of the upload.
UPLOAD = "upload:"
COMPLETE = UPLOAD + "complete"
PART_SIZE = 32 * 1024 * 1024  # bytes: the size that the controller's upload is made for
_ATTEMPTS = 5


@dataclass(frozen=True)
class Purpose:
    """What a copy is made for, as progress and errors say it.

    `lock_wait` is in seconds: how long pg_dump waits for a table that somebody has locked (0: without end).
    """

    name: str
    phase: str
    kind: str
    next_step: str
    lock_wait: int = 0


SAFETY = Purpose(
    "a safety copy", "copy-safety", "safety_copy", "nothing was dropped; see why, then run the restore again"
)


class DatabaseCopy:
    """Streams `pg_dump -Fc` of the live database into a multipart upload and reads it back."""

    def __init__(
        self,
        options: RestoreOptions,
        urls: UrlBook,
        progress: Progress,
        tools: Tools,
        purpose: Purpose = SAFETY,
    ) -> None:
        self._options, self._urls, self._progress, self._tools = options, urls, progress, tools
        self._purpose = purpose
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._source: Optional[DumpSource] = None
        self._stopped = False

    def stop(self) -> None:
        """End the copy, from any thread."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        if self._source is not None:
            self._source.close()

    def make(self) -> Dict[str, Any]:
        """Make and prove the copy; return its key, size (bytes), SHA-256 and rows. Raises OncallError."""
        self._progress.enter(self._purpose.phase, "copying the live database to the bucket")
        etags, size, digest = self._upload()
        self._progress.upload = {"etags": etags, "size": size}
        answer = self._urls.get(COMPLETE)  # the controller puts the parts together and says key and ETag
        key, _space, etag = answer.rpartition(" ")
        return self.prove(Part(key, size, etag, sha256=digest))

    def prove(self, part: Part) -> Dict[str, Any]:
        """Read a copy that is in the bucket and return what `make` returns. Raises OncallError."""
        rows, digest = self._read_back(part)
        return {"key": part.key, "size": part.size, "sha256": digest, "rows": rows, "etag": part.etag}

    def _upload(self) -> Tuple[Dict[str, str], int, str]:
        etags: Dict[str, str] = {}
        size, digest = 0, hashlib.sha256()
        process = self._start()
        errors: List[bytes] = []
        if process.stdout is None:
            raise AssertionError("process.stdout is not there yet")
        if process.stderr is None:
            raise AssertionError("process.stderr is not there yet")
        reader = threading.Thread(target=_drain, args=(process.stderr, errors), daemon=True)
        reader.start()
        try:
            for number in range(1, 10_001):
                part = _read_whole(process.stdout)
                if not part:
                    break
                etags[str(number)] = self._put(number, part)
                size += len(part)
                digest.update(part)
                self._progress.note = "%s of the live database copied to the bucket" % human_bytes(size)
        finally:
            if process.poll() is None:
                process.stdout.close()
        code = process.wait()
        reader.join()
        if code != 0 or not etags or self._stopped:
            raise self._failed(self._why(code, b"".join(errors)[-600:].decode("utf-8", "replace")))
        return etags, size, digest.hexdigest()

    def _why(self, code: int, said: str) -> str:
        if self._purpose.lock_wait and "LOCK TABLE" in said and "timeout" in said:
            waited = "somebody has locked a table for longer than %d s" % self._purpose.lock_wait
            return "%s (see pg_locks for who): %s" % (waited, said)
        return "pg_dump ended with %d: %s" % (code, said)

    def _start(self) -> "subprocess.Popen[bytes]":
        login, tools = self._options.login, self._tools
        program = os.path.join(tools.client_dir, "pg_dump") if tools.client_dir else "pg_dump"
        command = [*tools.prefix, program, "-Fc", "--no-password"]
        if login.user:
            command += ["--username", login.user]
        if not tools.prefix:  # inside a container the server's own socket is the way in
            command += ["--host", login.unix_socket or login.host] if login.unix_socket or login.host else []
            command += ["--port", str(login.port or 5432)]
        if self._purpose.lock_wait:
            command.append("--lock-wait-timeout=%d" % (self._purpose.lock_wait * 1000))
        command += ["--dbname", _connection_string(self._options.database, login)]
        environment, secret = dict(os.environ), _password_file(login.password)
        if secret is not None and not tools.prefix:
            environment["PGPASSFILE"] = "/proc/self/fd/%d" % secret
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                pass_fds=[secret] if secret is not None else [],
            )
        except OSError as error:
            raise self._failed("%s: %s" % (command[0], error.strerror)) from None
        finally:
            if secret is not None:
                os.close(secret)
        return self._process

    def _put(self, number: int, part: bytearray) -> str:
        url, said = "", ""
        for attempt in range(_ATTEMPTS):
            url = self._urls.get("%s%d" % (UPLOAD, number), url if said == "HTTP 403" else "")
            said, etag = _put_once(url, part)
            if etag:
                return etag
            if self._stopped:
                break
            time.sleep(min(2**attempt * 0.2, 3))
        raise self._failed("part %d was not taken by the store: %s" % (number, scrub(said)))

    def _read_back(self, part: Part) -> Tuple[int, str]:
        """Read the whole copy from the bucket: only an archive whose end was reached is one to rely on."""
        self._progress.note = "reading the whole copy back from the bucket"
        settings = Settings(stall_timeout=self._options.stall_timeout)
        self._source = DumpSource([part], self._urls.get, self._tools, settings=settings)
        rows, digest = 0, ""
        for event in self._source.events():
            rows += event.rows if isinstance(event, ev.CopyEnd) else 0
            digest = event.sha256 if isinstance(event, ev.End) else digest
        if not digest:
            raise VerificationError(
                "read %s back" % self._purpose.name,
                on=part.key,
                got="no end",
                next_step=self._purpose.next_step,
            )
        return rows, digest

    def _failed(self, got: str) -> OncallError:
        return OncallError(
            "make %s of %s" % (self._purpose.name, self._options.database),
            got=" ".join(got.split()),
            next_step=self._purpose.next_step,
            kind=self._purpose.kind,
        )


def _put_once(url: str, part: bytearray) -> Tuple[str, str]:
    """Return (what went wrong, ETag); the ETag is empty when it went wrong."""
    target = urlsplit(url)
    if target.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            target.netloc, timeout=60, context=context
        )
    else:
        connection = http.client.HTTPConnection(target.netloc, timeout=60)
    try:
        connection.request("PUT", "%s?%s" % (target.path, target.query), body=part)
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            return "", (response.getheader("ETag") or "").strip('"')
        return "HTTP %d" % response.status, ""
    except (OSError, http.client.HTTPException) as error:
        return "%s: %s" % (type(error).__name__, error), ""
    finally:
        connection.close()


def _read_whole(stream: IO[bytes]) -> bytearray:
    """Return the next part; one buffer of its size, because a part is most of the memory we may use."""
    part = bytearray(PART_SIZE)
    have = 0
    with memoryview(part) as view:
        while have < PART_SIZE:
            got = stream.readinto(view[have:])  # type: ignore[attr-defined]
            if not got:
                break
            have += got
    del part[have:]
    return part


def _drain(stream: IO[bytes], into: List[bytes]) -> None:
    for line in stream:
        into.append(line)
        del into[:-20]


def _password_file(password: str) -> Optional[int]:
    """Return a descriptor of a password file that exists in memory only; None without a password."""
    if not password:
        return None
    handle = os.memfd_create("pgpass", 0)
    os.fchmod(handle, 0o600)  # libpq ignores a password file that others may read
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    os.write(handle, ("*:*:*:*:%s\n" % escaped).encode())
    return handle


def _connection_string(database: str, login: Login) -> str:
    said = {
        "dbname": database,
        "sslmode": login.ssl_mode,
        "sslrootcert": login.ca_cert,
        # Whoever looks for sessions of this run finds pg_dump's, too.
        "application_name": login.application_name,
    }
    quoted = ["%s='%s'" % (k, v.replace("\\", "\\\\").replace("'", "\\'")) for k, v in said.items() if v]
    return " ".join(quoted)
