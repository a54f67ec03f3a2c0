# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a detached job and its controller talk: files of a private folder on the target.

`heartbeat` is touched by the controller: when that stops, the job ends itself. `progress.json` and
`result.json` are replaced as a whole. `control` is a FIFO that takes one JSON message per line; URLs come
only through it and stay in memory, so that a stolen disk or a process list holds none. Whoever reads `ended`,
another FIFO, waits until there is a result or something is wanted.
"""

from __future__ import annotations

__metaclass__ = type

import contextlib
import json
import os
import re
import select
import shutil
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

PREFIX = "oncall-restore-"
_TICK = 0.25  # seconds between two looks at everything
_WAIT_FOR_URL = 60.0  # seconds a job waits for its controller to renew a URL
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
_SIGNED = re.compile(
    r"(?i)\b(X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature)=[^&\s\"']+"
)


def scrub(text: str) -> str:
    """Return `text` without the query of any URL: a presigned URL's query is a password."""
    return _SIGNED.sub(r"\1=***", _QUERY.sub(r"\1?***", text))


class JobFolder:
    """The private folder of one job."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def create(cls) -> "JobFolder":
        """Make the folder (mode 0700), the FIFO and the first heartbeat."""
        folder = cls(tempfile.mkdtemp(prefix=PREFIX))
        os.mkfifo(folder.file("control"), 0o600)
        os.mkfifo(folder.file("ended"), 0o600)
        folder.write("heartbeat", {})
        return folder

    def file(self, name: str) -> str:
        """Return the path of one file of it."""
        return os.path.join(self.path, name)

    def write(self, name: str, content: Dict[str, Any]) -> None:
        """Replace one file atomically; a reader sees the old content or the new, never half of it."""
        text = scrub(json.dumps(content, default=str))
        handle = os.open(self.file(name + ".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        os.replace(self.file(name + ".new"), self.file(name))

    def wake(self) -> None:
        """Let a controller that waits for the end look at once."""
        with contextlib.suppress(OSError):  # nobody waits
            os.close(os.open(self.file("ended"), os.O_WRONLY | os.O_NONBLOCK))

    def heartbeat(self) -> int:
        """When the controller last touched its file (nanoseconds of the file system's clock)."""
        try:
            return os.stat(self.file("heartbeat")).st_mtime_ns
        except OSError:
            return 0

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


class UrlBook:
    """Presigned URLs by key, in memory; whoever needs one waits until the controller has sent it."""

    def __init__(self, timeout: float = _WAIT_FOR_URL) -> None:
        self._timeout = timeout
        self._condition = threading.Condition()
        self._urls: Dict[str, str] = {}
        self._wanted: Dict[str, str] = {}  # key: the URL that is of no use

    def put(self, urls: Dict[str, str]) -> None:
        """Take new URLs from the controller."""
        with self._condition:
            self._urls.update(urls)
            # Signed twice within a second a URL is the same: that does not help whoever waits.
            self._wanted = {k: stale for k, stale in self._wanted.items() if not self._usable(k, stale)}
            self._condition.notify_all()

    def get(self, key: str, stale: str = "") -> str:
        """Return the URL of `key`, a newer one than `stale` when that was refused by the store."""
        with self._condition:
            if not self._usable(key, stale):
                self._urls.pop(key, None)
                self._wanted[key] = stale
            if not self._condition.wait_for(lambda: self._usable(key, stale), self._timeout):
                raise OncallError(
                    "get a new URL for %s" % key,
                    got="the controller sent none within %g s" % self._timeout,
                    next_step="see whether the controller still runs and can reach this host, then run again",
                    kind="no_url",
                )
            return self._urls[key]

    def _usable(self, key: str, stale: str) -> bool:
        return self._urls.get(key, stale) != stale

    @property
    def wanted(self) -> List[str]:
        """Keys whose URL somebody waits for."""
        with self._condition:
            return sorted(self._wanted)


class Watcher:
    """A thread that takes messages, reports progress and notices that the controller is gone.

    `on_abort(reason)` is called once, from this thread; its kind too when it is not that somebody said so.
    `lease` and `timeout` are seconds (timeout 0: as long as it takes). `wake` is a readable file descriptor
    that says that a signal came (signal.set_wakeup_fd), because a blocked database call delays Python's own
    handlers.
    """

    def __init__(
        self,
        folder: JobFolder,
        urls: UrlBook,
        state: Callable[[], Dict[str, Any]],
        on_abort: Callable[..., None],
        *,
        lease: float,
        wake: int,
        timeout: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._urls, self._state, self._on_abort = folder, urls, state, on_abort
        self._lease, self._wake, self._clock = lease, wake, clock
        self._timeout, self._began = timeout, clock()
        # Opened for reading and writing: it never ends because a writer closed it, and never blocks.
        self._fifo = os.open(folder.file("control"), os.O_RDWR | os.O_NONBLOCK)
        self._buffer = b""
        self._beat = (folder.heartbeat(), clock())
        self._aborted = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="oncall-watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and report the last state."""
        self._stop.set()
        with contextlib.suppress(BlockingIOError):  # full: then there is something to wake up for
            os.write(self._fifo, b"\n")  # an empty message, so that the thread does not sleep out its tick
        self._thread.join()
        os.close(self._fifo)

    def _run(self) -> None:
        while not self._stop.is_set():
            ready, _writable, _broken = select.select([self._fifo, self._wake], [], [], _TICK)
            if self._wake in ready:
                os.read(self._wake, 512)
                self._abort("it was told to stop (signal)")
            if self._fifo in ready:
                self._receive()
            self._check_lease()
            wanted = self._urls.wanted
            with contextlib.suppress(OSError):  # a full disk must not end the restore of a database
                self._folder.write("progress.json", {**self._state(), "wants": wanted})
            if wanted:
                self._folder.wake()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self._fifo, 1 << 16)
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            message = json.loads(line.decode())
        except ValueError:
            return  # half a message of a controller that died while writing it
        if message.get("command") == "abort":
            self._abort(str(message.get("reason") or "the controller told it to stop"))
        elif isinstance(message.get("urls"), dict):
            self._urls.put(message["urls"])

    def _check_lease(self) -> None:
        beat = self._folder.heartbeat()
        if beat != self._beat[0]:
            self._beat = (beat, self._clock())
        elif self._clock() - self._beat[1] > self._lease:
            self._abort("its controller gave no sign of life for %g s" % self._lease)
        if self._timeout and self._clock() - self._began > self._timeout:
            self._abort("it was not done within %g s (option timeout)" % self._timeout, "timeout")

    def _abort(self, reason: str, *kind: str) -> None:
        if not self._aborted:
            self._aborted = True
            self._on_abort(reason, *kind)


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """Return the content of a file of the folder, None when it is not there."""
    try:
        with open(path) as stream:
            content: Dict[str, Any] = json.load(stream)
            return content
    except (OSError, ValueError):
        return None
