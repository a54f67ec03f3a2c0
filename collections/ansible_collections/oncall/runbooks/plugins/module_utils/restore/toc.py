# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Table of contents of a pg_dump archive (custom, tar, directory; archive versions 1.12 to 1.16)."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain_statements import unquoted
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    DumpError,
    RefusedError,
    TruncatedError,
)

MAGIC = b"PGDMP"
CUSTOM, TAR, DIRECTORY = 1, 3, 5
_FORMATS = {CUSTOM: "custom", TAR: "tar", DIRECTORY: "directory"}
_COMPRESSIONS = ("none", "gzip", "lz4", "zstd")
_OLDEST, _NEWEST = (1, 12), (1, 16)
_NO_DATA = 3
_LIMIT = 1 << 30
_MANY = 1 << 24
PIECE = 1 << 20


class ByteStream:
    """Exact reads from an iterator of blocks, in order; an early end is a TruncatedError."""

    def __init__(self, blocks: Iterable[bytes], on: str = "") -> None:
        self._blocks = iter(blocks)
        self._buffer = bytearray()
        self._on = on
        self.position = 0

    def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            block = next(self._blocks, None)
            if block is None:
                return False
            self._buffer += block
        return True

    def at_end(self) -> bool:
        """Tell whether nothing is left."""
        return not self._fill(1)

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        if size > _LIMIT:
            raise self.damaged("a length of %d bytes" % size)
        if not self._fill(size):
            raise TruncatedError(
                "read the archive to its end",
                on=self._on,
                got="it stops after %d bytes, in the middle of an entry"
                % (self.position + len(self._buffer)),
                next_step="this backup is not whole: " + OTHER_BACKUP,
            )
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        self.position += size
        return data

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield `size` bytes in pieces of at most PIECE."""
        while size > 0:
            data = self.read(min(size, PIECE))
            size -= len(data)
            yield data

    def rest(self) -> Iterator[bytes]:
        """Yield everything that is left."""
        while not self.at_end():
            yield self.read(len(self._buffer))

    def damaged(self, what: str) -> DumpError:
        """Return the error for bytes that cannot be part of an archive."""
        return TruncatedError(
            "read the archive",
            on=self._on,
            got="near byte %d there is %s, which no archive has" % (self.position, what),
            next_step="this backup is damaged: " + OTHER_BACKUP,
        )


@dataclass(frozen=True)
class Entry:
    """One entry: `has_data` says that rows or large objects of it are in the archive."""

    dump_id: int
    has_data: bool
    tag: str
    description: str
    section: int
    copy: str
    namespace: str
    dependencies: Tuple[int, ...]
    filename: str
    raw: bytes

    @property
    def table(self) -> str:
        """Qualified name of the table, quoted where it could be needed."""
        return ".".join(_quote(part) for part in (self.namespace, self.tag) if part)


class Toc:
    """The head of an archive: what made it, its compression and its entries in order."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._record = bytearray()
        if self._take(5) != MAGIC:
            raise stream.damaged("no archive signature")
        self.version = (self._byte(), self._byte())
        self._revision = self._byte()
        self._check_version()
        self._int_size, self._offset_size = self._byte(), self._byte()
        if not 1 <= self._int_size <= 8 or not 1 <= self._offset_size <= 8:
            raise stream.damaged("a width of %d" % self._int_size)
        number = self._byte()
        self.format = _FORMATS.get(number, "")
        if not self.format:
            raise stream.damaged("format number %d" % number)
        self.compression = self._compression()
        self._record.clear()
        self._times = [self._int() for _unused in range(7)]
        self.database, self.server_version, self.dump_version = self._text(), self._text(), self._text()
        self._facts = bytes(self._record)
        count = self._int()
        if not 0 <= count < _MANY:
            raise stream.damaged("a count of %d entries" % count)
        self.entries: List[Entry] = [self._entry() for _unused in range(count)]
        self.by_id: Dict[int, Entry] = {entry.dump_id: entry for entry in self.entries}

    @property
    def with_data(self) -> List[Entry]:
        """Entries whose rows or large objects must come."""
        return [entry for entry in self.entries if entry.has_data]

    def tables(self) -> Tuple[str, ...]:
        """Qualified names of the tables."""
        return tuple(entry.table for entry in self.entries if entry.description == "TABLE")

    def extensions(self) -> Tuple[str, ...]:
        """Names of the extensions."""
        return tuple(
            unquoted(e.tag) if '"' in e.tag else e.tag for e in self.entries if e.description == "EXTENSION"
        )

    def encoding(self) -> str:
        """Client encoding of the archive's texts."""
        for entry in self.entries:
            if entry.description == "ENCODING":
                return entry.raw.decode("latin-1").partition("client_encoding = '")[2].partition("'")[0]
        return ""

    def head_without_data(self) -> bytes:
        """Return the head as a custom archive that holds no rows.

        `pg_restore` turns it into the SQL of everything else, from stdin, whatever the format was.
        """
        kept = [entry for entry in self.entries if not entry.has_data]
        no_data = bytes([_NO_DATA]) + bytes(self._offset_size)
        none = b"\0" if self.version >= (1, 15) else self._packed(0)
        widths = bytes([*self.version, self._revision, self._int_size, self._offset_size, CUSTOM])
        parts = [MAGIC, widths, none, self._facts, self._packed(len(kept))]
        for entry in kept:
            parts += (entry.raw, no_data)
        return b"".join(parts)

    def _check_version(self) -> None:
        if not _OLDEST <= self.version <= _NEWEST:
            raise RefusedError(
                "read the archive",
                got="its version is %d.%d, versions %d.%d to %d.%d are known"
                % (*self.version, *_OLDEST, *_NEWEST),
                next_step="make the dump with pg_dump 9.6 to 18, or restore this one with its own pg_restore",
            )

    def _compression(self) -> str:
        if self.version >= (1, 15):
            number = self._byte()
            if number >= len(_COMPRESSIONS):
                raise self._stream.damaged("compression number %d" % number)
            return _COMPRESSIONS[number]
        return "gzip" if self._int() != 0 else "none"

    def _entry(self) -> Entry:
        self._record.clear()
        dump_id, has_data = self._int(), bool(self._int())
        self._text(), self._text()
        tag, description, section = self._text(), self._text(), self._int()
        self._text(), self._text()
        copy, namespace = self._text(), self._text()
        self._text()
        if self.version >= (1, 14):
            self._text()
        if self.version >= (1, 16):
            self._int()
        self._text(), self._text()
        dependencies = tuple(int(text) for text in iter(self._maybe, None))
        raw = bytes(self._record)
        filename = ""
        if self.format == "custom":
            self._take(1 + self._offset_size)
        else:
            filename = self._text()
        return Entry(
            dump_id, has_data, tag, description, section, copy, namespace, dependencies, filename, raw
        )

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._record += data
        return data

    def _byte(self) -> int:
        return self._take(1)[0]

    def _int(self) -> int:
        negative = self._byte()
        value = int.from_bytes(self._take(self._int_size), "little")
        return -value if negative else value

    def _maybe(self) -> Optional[str]:
        size = self._int()
        return None if size < 0 else self._take(size).decode("utf-8", "surrogateescape")

    def _text(self) -> str:
        return self._maybe() or ""

    def _packed(self, value: int) -> bytes:
        return b"\0" + value.to_bytes(self._int_size, "little")

    def read_int(self) -> int:
        """Read one number of the data part (custom format)."""
        data = self._stream.read(1 + self._int_size)
        value = int.from_bytes(data[1:], "little")
        return -value if data[0] else value


def _quote(name: str) -> str:
    plain = name and name[0] in "abcdefghijklmnopqrstuvwxyz_" and all(c.isalnum() or c == "_" for c in name)
    return name if plain and name.isascii() and name.islower() else '"%s"' % name.replace('"', '""')
