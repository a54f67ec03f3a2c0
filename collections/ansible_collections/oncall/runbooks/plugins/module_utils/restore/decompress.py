# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decompress a stream by what it is, not by what it is called; an end that is not its end is an error."""

from __future__ import annotations

__metaclass__ = type

import bz2
import contextlib
import lzma
import zlib
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Protocol, Tuple, Type

from ansible_collections.oncall.runbooks.plugins.module_utils.restore import decompress_zstd as zstd
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    DumpError,
    RefusedError,
    TruncatedError,
)

_isal: Any = None
with contextlib.suppress(ImportError):
    from isal import isal_zlib as _found_isal

    _isal = _found_isal

PIECE = 1 << 20
"""Most bytes that one step gives out: bounds the memory for any ratio of compression."""
HEAD = 6
"""Bytes needed to tell a compression."""
_MAGIC: Tuple[Tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7-zip"),
    (b"age-en", "age encryption"),
    (b"-----B", "PGP encryption"),
)
_SUFFIXES = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz", ".lz4": "lz4"}


_ERRORS: Tuple[Type[BaseException], ...] = (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError)
_ERRORS += zstd.ERRORS
if _isal is not None:
    _ERRORS += (_isal.error,)


class Inflater(Protocol):
    """One compressed stream: the interface that bz2 and lzma have."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached, with its checksum right."""

    @property
    def unused_data(self) -> bytes:
        """What came behind the end."""

    @property
    def needs_input(self) -> bool:
        """Whether `decompress` has nothing more to give without new input."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Take `data` and return at most `max_length` bytes."""


class ZlibInflater:
    """zlib behind the interface of bz2: gzip or zlib format with its checksum, found by its header.

    The module `isal` does the same in less than half the time, where it is installed.
    """

    def __init__(self) -> None:
        self._zlib = (_isal or zlib).decompressobj(wbits=47)
        self._rest = b""

    @property
    def eof(self) -> bool:
        """See Inflater."""
        return bool(self._zlib.eof)

    @property
    def unused_data(self) -> bytes:
        """See Inflater."""
        return bytes(self._zlib.unused_data)

    @property
    def needs_input(self) -> bool:
        """See Inflater."""
        return not self._rest and not self.eof

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """See Inflater."""
        out: bytes = self._zlib.decompress(self._rest + data if self._rest else data, max(0, max_length))
        self._rest = self._zlib.unconsumed_tail
        return out


_MAKERS: Dict[str, Callable[[], Any]] = {
    "gzip": ZlibInflater,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
    "zstd": zstd.inflater,
}


def detect(head: bytes) -> str:
    """Return the compression that the first bytes show: none, gzip, zstd, bzip2, xz, lz4, zip, ..."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "none"


def name_disagrees(key: str, compression: str) -> str:
    """Return a sentence when the object's name promises another compression than it has, else nothing."""
    promised = next((c for suffix, c in _SUFFIXES.items() if key.endswith(suffix)), "none")
    if promised == compression:
        return ""
    return "%s is named like %s but its content is %s; the content counts" % (key, promised, compression)


def require(compression: str, on: str = "") -> None:
    """Raise an error that names what is missing when this compression cannot be read here."""
    if compression != "none" and compression not in _MAKERS:
        raise RefusedError(
            "decompress the backup",
            on=on,
            got="it is %s, which is not supported" % compression,
            next_step="make backups with gzip or zstd, or unpack this one and upload it again",
        )
    if compression == "zstd":
        zstd.require(on)


def decompress(blocks: Iterable[bytes], compression: str, on: str = "") -> Iterator[bytes]:
    """Yield the content of `blocks` in pieces of at most PIECE bytes.

    Members may follow each other. Raises TruncatedError where the stream ends too early or a checksum is
    wrong, DumpError for anything else behind the end. `on` names the object in errors.
    """
    require(compression, on)
    if compression == "none":
        return iter(blocks)
    if compression == "zstd" and not zstd.has_module():
        return zstd.by_program(blocks, on)
    return _Members(compression, on).content(blocks)


class _Members:
    """Decompresses members one after another."""

    def __init__(self, compression: str, on: str) -> None:
        self._compression, self._on = compression, on
        self._current: Optional[Inflater] = None
        self._ended = 0
        self._padding = False
        self._taken = 0

    def content(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            rest = block
            while rest:
                if self._current is None:
                    rest = self._open(rest)
                    continue
                yield from self._pieces(self._current, rest)
                rest = self._behind(self._current)
            self._taken += len(block)
        self._check_end()

    def _open(self, data: bytes) -> bytes:
        """Start a member; zeros behind the last one are padding, as for gzip(1)."""
        if self._ended and (self._padding or data[:1] == b"\0"):
            if data.strip(b"\0"):
                raise self._garbage(data.lstrip(b"\0"))
            self._padding = True
            return b""
        if self._ended and not any(magic.startswith(data[: len(magic)]) for magic in self._magics()):
            raise self._garbage(data)
        self._current = _MAKERS[self._compression]()
        return data

    def _magics(self) -> Tuple[bytes, ...]:
        found = tuple(magic for magic, name in _MAGIC if name == self._compression)
        return found + zstd.SKIPPABLE if self._compression == "zstd" else found

    def _pieces(self, inflater: Inflater, data: bytes) -> Iterator[bytes]:
        try:
            piece = inflater.decompress(data, PIECE)
            while True:
                if piece:
                    yield piece
                if inflater.eof or inflater.needs_input:
                    return
                piece = inflater.decompress(b"", PIECE)
        except _ERRORS as error:
            raise TruncatedError(
                "decompress the backup",
                on=self._on,
                got="its %s stream is damaged near byte %d: %s" % (self._compression, self._taken, error),
                next_step="this backup is not whole: " + OTHER_BACKUP,
            ) from error

    def _behind(self, inflater: Inflater) -> bytes:
        if not inflater.eof:
            return b""
        self._current, self._ended = None, self._ended + 1
        return inflater.unused_data

    def _check_end(self) -> None:
        if self._current is not None or not self._ended:
            raise TruncatedError(
                "decompress the backup to its end",
                on=self._on,
                got="its %s stream stops after %d bytes, before its end and checksum"
                % (self._compression, self._taken),
                next_step="this backup is not whole: " + OTHER_BACKUP,
            )

    def _garbage(self, data: bytes) -> DumpError:
        return DumpError(
            "decompress the backup",
            on=self._on,
            got="behind the end of its %s stream comes something else, beginning %r"
            % (self._compression, data[:16]),
            next_step="somebody appended to this object: " + OTHER_BACKUP,
            kind="dump_garbage",
        )
