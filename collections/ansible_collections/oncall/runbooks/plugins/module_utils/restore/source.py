# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one way to a dump: objects of a bucket in, dump events out, whatever the format is."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import itertools
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Union

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import plain_statements as st
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive import (
    Archive,
    CustomArchive,
    DirectoryArchive,
    TarArchive,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive_tar import BLOCK, is_tar
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive_tools import Tools
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.decompress import (
    decompress,
    detect,
    name_disagrees,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.fetch import Fetcher, Part, Settings
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain import PlainReader
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    DumpError,
    RefusedError,
    TruncatedError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.toc import MAGIC, ByteStream, Toc

_PLAIN_HEAD = 1 << 20
"""Bytes of a plain dump that `header` looks at."""


class DumpSource:
    """One dump. `header()` may be called once, before `events()`; both use the same single read.

    `parts` is one object, or all objects of a directory archive (one of them named toc.dat). `urls(key,
    stale)` returns a presigned URL (see Fetcher). `on_bytes(total)` is told how many bytes were read so far.
    After `events()` has ended `skipped` lists what was left out; `warnings` what the operator should know.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        urls: Callable[[str, str], str],
        tools: Optional[Tools] = None,
        *,
        settings: Optional[Settings] = None,
        on_bytes: Optional[Callable[[int], Any]] = None,
    ) -> None:
        if not parts:
            raise UsageError("read a backup", got="no object was given", next_step="set the option `key`")
        self.parts = tuple(parts)
        self.size = sum(part.size for part in parts)
        self.warnings: List[str] = []
        self._urls, self._tools = urls, tools or Tools()
        self._settings, self._on_bytes = settings or Settings(), on_bytes
        self._bytes_in = self._bytes_out = 0
        self._sha256 = hashlib.sha256()
        self._digest = ""
        self._fetchers: List[Fetcher] = []
        self._closed = False
        self._compression = "none"
        self._reader: Union[PlainReader, Archive, None] = None
        self._facts: Optional[ev.DumpHeader] = None

    @property
    def skipped(self) -> List[ev.Skipped]:
        """Statements that were left out, and why."""
        return self._reader.skipped if self._reader else []

    def header(self) -> ev.DumpHeader:
        """Read the head of the dump and return what it says."""
        if self._facts is None:
            self._open()
        if self._facts is None:
            raise AssertionError("facts is not there yet")
        return self._facts

    def events(self) -> Iterator[ev.Event]:
        """Yield the whole dump; `End` comes only when all of it was there and every checksum was right."""
        if self._reader is None:
            self._open()
        if self._reader is None:
            raise AssertionError("reader is not there yet")
        try:
            yield from self._reader.events()
            for _unused in self._content_left:
                raise self._behind()
            yield ev.End(True, self._bytes_in, self._bytes_out, self._digest)
        finally:
            self.close()

    def close(self) -> None:
        """End every read; may be called from any thread."""
        self._closed = True
        for fetcher in list(self._fetchers):
            fetcher.cancel()

    def _open(self) -> None:
        self._content_left: Iterator[bytes] = iter(())
        if len(self.parts) > 1 or self.parts[0].key.rpartition("/")[2] == "toc.dat":
            self._open_directory()
            return
        part = self.parts[0]
        content = self._decompressed(part)
        head, content = _peek(content, max(BLOCK, _PLAIN_HEAD))
        if head.startswith(MAGIC):
            self._open_archive("custom", CustomArchive(content, self._tools, part.key))
        elif is_tar(head):
            self._open_archive("tar", TarArchive(content, self._tools, part.key))
        else:
            _refuse_binary(head, part.key)
            reader = PlainReader(content)
            self._reader = reader
            self._facts = _plain_header(head, self._compression)
        self._content_left = content

    def _open_archive(self, name: str, archive: Archive) -> None:
        self._reader = archive
        self._facts = _archive_header(name, archive.toc, self._compression)

    def _open_directory(self) -> None:
        by_name: Dict[str, Part] = {part.key.rpartition("/")[2]: part for part in self.parts}
        prefix = self.parts[0].key.rpartition("/")[0] + "/"
        if "toc.dat" not in by_name or len(by_name) != len(self.parts):
            raise UsageError(
                "read several objects as one backup",
                on=prefix,
                got="only the members of one directory archive (pg_dump -Fd, with toc.dat) make one backup",
                next_step="name a single object with the option `key`, or a prefix that holds one archive",
            )
        archive = DirectoryArchive(by_name, self._member_of(by_name), self._tools, prefix)
        self._open_archive("directory", archive)

    def _member_of(self, parts: Dict[str, Part]) -> Callable[[str], Iterator[bytes]]:
        return lambda name: self._counted(self._raw(parts[name]))

    def _raw(self, part: Part) -> Iterator[bytes]:
        if part.size == 0:
            raise TruncatedError(
                "read the backup", on=part.key, got="the object is empty", next_step=OTHER_BACKUP
            )
        fetcher = Fetcher(part, self._urls, self._settings)
        self._fetchers.append(fetcher)
        if self._closed:
            fetcher.cancel()
        try:
            for block in fetcher:
                self._bytes_in += len(block)
                if len(self.parts) > 1:  # of a single object the fetcher's own digest is the same
                    self._sha256.update(block)
                if self._on_bytes:
                    self._on_bytes(self._bytes_in)
                yield block
            self._digest = fetcher.sha256 if len(self.parts) == 1 else self._sha256.hexdigest()
        finally:
            self._fetchers.remove(fetcher)

    def _decompressed(self, part: Part) -> Iterator[bytes]:
        head, blocks = _peek(self._raw(part), 16)
        self._compression = detect(head)
        disagreement = name_disagrees(part.key, self._compression)
        if disagreement:
            self.warnings.append(disagreement)
        return self._counted(decompress(blocks, self._compression, part.key))

    def _counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self._bytes_out += len(block)
            yield block

    def _behind(self) -> DumpError:
        return DumpError(
            "read the backup to its end",
            on=self.parts[0].key,
            got="something comes behind the end of the dump",
            next_step="somebody appended to this object: " + OTHER_BACKUP,
        )


def describe(head: bytes) -> ev.DumpHeader:
    """Return what the first bytes of an object say (some 64 KiB are enough for most archives).

    Raises an OncallError when they are no dump, or too few for an archive's table of contents.
    """
    compression = detect(head)
    content = b"".join(_as_far_as_it_goes(decompress([head], compression)))
    if content.startswith(MAGIC) or is_tar(content):
        source = [content] if content.startswith(MAGIC) else [content[BLOCK:]]
        toc = Toc(ByteStream(source))
        return _archive_header("tar" if is_tar(content) else toc.format, toc, compression)
    _refuse_binary(content, "")
    return _plain_header(content, compression)


def _as_far_as_it_goes(blocks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from blocks
    except TruncatedError:
        return  # the head of an object ends where it was cut


def _peek(blocks: Iterator[bytes], size: int) -> "tuple[bytes, Iterator[bytes]]":
    """Return up to `size` first bytes, and everything from the start."""
    taken: List[bytes] = []
    have = 0
    for block in blocks:
        taken.append(block)
        have += len(block)
        if have >= size:
            break
    head = b"".join(taken)
    return head[:size], itertools.chain([head] if head else [], blocks)


def _plain_header(head: bytes, compression: str) -> ev.DumpHeader:
    reader = PlainReader([head])
    extensions: List[str] = []
    tables: List[str] = []
    try:
        for event in reader.events():
            if isinstance(event, ev.Sql) and event.kind == "EXTENSION":
                extensions.append(st.extension_name(event.text))
            elif isinstance(event, ev.Sql) and event.kind == "TABLE":
                tables.extend(event.names[:1])
    except TruncatedError:
        pass  # a head ends anywhere
    return ev.DumpHeader(
        "plain",
        compression,
        reader.facts["server_version"],
        reader.facts["dump_version"],
        reader.database,
        reader.facts["encoding"],
        tuple(extensions),
        tuple(tables),
    )


def _archive_header(name: str, toc: Toc, compression: str) -> ev.DumpHeader:
    return ev.DumpHeader(
        name,
        compression if compression != "none" else toc.compression,
        toc.server_version,
        toc.dump_version,
        toc.database,
        toc.encoding(),
        toc.extensions(),
        toc.tables(),
        True,
    )


def _refuse_binary(head: bytes, key: str) -> None:
    if b"\0" in head[:4096]:
        raise RefusedError(
            "read the backup",
            on=key,
            got="its content is no PostgreSQL dump (binary data, beginning %r)" % head[:16],
            next_step="check the pattern of backups, or " + OTHER_BACKUP,
        )


def open_source(
    parts: Sequence[Part],
    urls: Callable[[str, str], str],
    tools: Optional[Tools] = None,
    *,
    settings: Optional[Settings] = None,
    on_bytes: Optional[Callable[[int], Any]] = None,
) -> DumpSource:
    """Return the source of a dump (see DumpSource); nothing is read yet."""
    return DumpSource(parts, urls, tools, settings=settings, on_bytes=on_bytes)


__all__ = ["DumpSource", "Part", "Settings", "Tools", "describe", "open_source"]
