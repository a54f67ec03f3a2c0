# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read one object of a bucket by presigned URLs: several ranges ahead of the reader, in order, checked.

http.client is used directly: proxies in the environment (`https_proxy`, ...) are NOT used, because a backup's
stream must not take a way that nobody chose. TLS is checked against the system's certificates or `ca_cert`.
"""

from __future__ import annotations

__metaclass__ = type

import hashlib
import re
import threading
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.fetch_range import (
    BLOCK,
    Part,
    RangeReader,
    Settings,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    CancelledError,
    TruncatedError,
)

_MD5 = re.compile(r"[0-9a-f]{32}\Z")


class _Slot:
    """One range: blocks that arrived and were not yet read."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.blocks: Deque[bytes] = deque()
        self.done = False


class Fetcher:
    """Iterates over the blocks of one object.

    `urls(key, stale)` returns a presigned URL, another one than `stale` when that was refused; it may wait.
    At most `settings.ahead` ranges of `settings.range_size` bytes are in memory. After the last block the
    checksums are compared: an iteration that ends without an error has read the object whole and unchanged.
    """

    def __init__(
        self,
        part: Part,
        urls: Callable[[str, str], str],
        settings: Optional[Settings] = None,
        on_bytes: Optional[Callable[[int], Any]] = None,
    ) -> None:
        self.part = part
        self.settings = settings or Settings()
        self.bytes = 0
        self._on_bytes = on_bytes
        self._sha256 = hashlib.sha256()
        self._md5 = _md5(part)
        self._condition = threading.Condition()
        self._cancelled = threading.Event()
        self._error: Optional[BaseException] = None
        self._slots: List[_Slot] = self._plan()
        self._head = 0
        self._next = 0
        self._ranges = [
            RangeReader(part, urls, self.settings, self._cancelled)
            for _unused in range(min(self.settings.ahead, len(self._slots)))
        ]

    def _plan(self) -> List[_Slot]:
        size, step = self.part.size, self.settings.range_size
        return [_Slot(start, min(start + step, size)) for start in range(0, size, step)]

    @property
    def sha256(self) -> str:
        """Hex digest of what was read so far."""
        return self._sha256.hexdigest()

    def cancel(self) -> None:
        """Stop every thread and make the reader raise CancelledError; may be called from any thread."""
        self._cancelled.set()
        with self._condition:
            self._condition.notify_all()
        for reader in self._ranges:
            reader.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the object's bytes in order, in blocks of at most BLOCK bytes."""
        threads = [
            threading.Thread(target=self._work, args=(reader,), name="oncall-fetch", daemon=True)
            for reader in self._ranges
        ]
        for thread in threads:
            thread.start()
        try:
            for slot in self._slots:
                yield from self._blocks(slot)
            self._check()
        finally:
            self.cancel()

    def _blocks(self, slot: _Slot) -> Iterator[bytes]:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._ready(slot))
                if not slot.blocks:
                    if slot.done:
                        self._head += 1
                        self._condition.notify_all()
                        return
                    raise self._error or CancelledError("read the backup", on=self.part.key, got="cancelled")
                block = slot.blocks.popleft()
            self._sha256.update(block)
            if self._md5 is not None:
                self._md5.update(block)
            self.bytes += len(block)
            if self._on_bytes:
                self._on_bytes(len(block))
            yield block

    def _ready(self, slot: _Slot) -> bool:
        return bool(slot.blocks) or slot.done or self._error is not None or self._cancelled.is_set()

    def _work(self, reader: RangeReader) -> None:
        try:
            for slot in iter(self._claim, None):
                for block in reader.read(slot.start, slot.end):
                    with self._condition:
                        slot.blocks.append(block)
                        self._condition.notify_all()
                with self._condition:
                    slot.done = True
                    self._condition.notify_all()
        except BaseException as error:
            with self._condition:
                self._error = self._error or error
                self._condition.notify_all()
        finally:
            reader.close()

    def _claim(self) -> Optional[_Slot]:
        """Return the next range once it is within `ahead` of the reader; None when there is none left."""
        with self._condition:
            self._condition.wait_for(
                lambda: (
                    self._next >= len(self._slots)
                    or self._next < self._head + self.settings.ahead
                    or self._cancelled.is_set()
                    or self._error is not None
                )
            )
            if self._next >= len(self._slots) or self._cancelled.is_set() or self._error is not None:
                return None
            slot = self._slots[self._next]
            self._next += 1
            return slot

    def _check(self) -> None:
        if self.bytes != self.part.size:
            raise self._wrong("size", str(self.part.size), str(self.bytes))
        if self.part.sha256 and self.part.sha256.lower() != self.sha256:
            raise self._wrong("SHA-256", self.part.sha256, self.sha256)
        if self._md5 is None:
            return
        wanted = self.part.md5.lower()
        if not wanted and not any(reader.encrypted for reader in self._ranges):
            wanted = _plain_etag(self.part.etag)
        if wanted and wanted != self._md5.hexdigest():
            raise self._wrong("MD5", wanted, self._md5.hexdigest())

    def _wrong(self, what: str, wanted: str, got: str) -> TruncatedError:
        return TruncatedError(
            "verify the backup while reading it",
            on=self.part.key,
            got="its %s is %s, it must be %s" % (what, got, wanted),
            next_step="this backup is damaged: " + OTHER_BACKUP,
            kind="checksum",
        )


def _plain_etag(etag: str) -> str:
    """Return the MD5 that an ETag is for an object that was uploaded in one piece (empty otherwise)."""
    bare = etag.strip().strip('"').lower()
    return bare if _MD5.match(bare) else ""


def _md5(part: Part) -> Any:
    """Return an MD5 where one has to be compared; None also where the system's policy forbids MD5."""
    if not part.md5 and (part.sha256 or not _plain_etag(part.etag)):
        return None  # a SHA-256 proves more than an ETag would
    try:
        return hashlib.new("md5", usedforsecurity=False)  # type: ignore[call-arg,unused-ignore]
    except TypeError:  # Python 3.8 does not know the argument
        return hashlib.new("md5")  # noqa: S324 - compared with the store's own, not for security
    except ValueError:
        return None


__all__ = ["BLOCK", "Fetcher", "Part", "Settings"]
