# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""zstd by whatever this Python has: its own module (3.14), `zstandard`, or the program `zstd`."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import os
import shutil
import subprocess
import threading
from typing import Any, Iterable, Iterator, List, Tuple, Type

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    ToolError,
    TruncatedError,
)

_stdlib: Any = None
_zstandard: Any = None
with contextlib.suppress(ImportError):
    from compression import zstd as _found_stdlib

    _stdlib = _found_stdlib
with contextlib.suppress(ImportError):
    import zstandard as _found_module

    _zstandard = _found_module

SKIPPABLE: Tuple[bytes, ...] = tuple(bytes([n, 0x2A, 0x4D, 0x18]) for n in range(0x50, 0x60))
ERRORS: Tuple[Type[BaseException], ...] = tuple(
    error
    for error in (getattr(_stdlib, "ZstdError", None), getattr(_zstandard, "ZstdError", None))
    if error is not None
)
_WINDOW = 1 << 27
"""Largest window: the limit of the program `zstd` itself without --long."""
_BLOCK = 1 << 18


def require(on: str = "") -> None:
    """Raise ToolError, naming the packages, when zstd cannot be read here."""
    if _stdlib is None and _zstandard is None and shutil.which("zstd") is None:
        raise ToolError(
            "decompress the backup",
            on=on,
            got="it is zstd, and neither a Python module nor the program for it is there",
            next_step="install the package `zstd` or `python3-zstandard` on this host",
            kind="zstd_missing",
        )


def has_module() -> bool:
    """Tell whether Python reads zstd without a helper process."""
    return _stdlib is not None or _zstandard is not None


def inflater() -> Any:
    """Return a decompressor of one frame with the interface of bz2."""
    return _stdlib.ZstdDecompressor() if _stdlib is not None else _ModuleInflater()


class _ModuleInflater:
    """The module `zstandard` behind the interface of bz2.

    It has no limit on what one call gives out, so it is fed in slices small enough for any likely ratio.
    """

    _SLICE = 1 << 12

    def __init__(self) -> None:
        self._object = _zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        self._waiting = b""
        self._position = 0

    @property
    def eof(self) -> bool:
        """Whether the frame ended."""
        return bool(self._object.eof)

    @property
    def unused_data(self) -> bytes:
        """What came behind the frame."""
        return bytes(self._object.unused_data) + self._waiting[self._position :]

    @property
    def needs_input(self) -> bool:
        """Whether everything that was given is used up."""
        return self._position >= len(self._waiting)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Take `data` and return the content of the next slices, about `max_length` bytes."""
        if data:
            self._waiting, self._position = self._waiting[self._position :] + data, 0
        out = []
        size = 0
        while not self.needs_input and not self.eof and (max_length < 0 or size < max_length):
            piece = self._object.decompress(self._waiting[self._position : self._position + self._SLICE])
            self._position += self._SLICE
            out.append(piece)
            size += len(piece)
        return b"".join(out)


def by_program(blocks: Iterable[bytes], on: str = "") -> Iterator[bytes]:
    """Yield the content of `blocks` by the program `zstd`, which checks every frame itself."""
    process = subprocess.Popen(
        ["zstd", "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    failures: List[BaseException] = []
    writer = threading.Thread(target=_write, args=(blocks, process, failures), daemon=True)
    writer.start()
    if process.stdout is None:
        raise AssertionError("process.stdout is not there yet")
    if process.stderr is None:
        raise AssertionError("process.stderr is not there yet")
    out = process.stdout.fileno()
    try:
        yield from iter(lambda: os.read(out, _BLOCK), b"")
        writer.join()
        if failures:
            raise failures[0]
        said = process.stderr.read().decode("utf-8", "replace").strip()
        if process.wait() != 0:
            raise TruncatedError(
                "decompress the backup",
                on=on,
                got="zstd says: " + (said or "exit code %d" % process.returncode),
                next_step="this backup is not whole: " + OTHER_BACKUP,
            )
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _write(
    blocks: Iterable[bytes], process: "subprocess.Popen[bytes]", failures: List[BaseException]
) -> None:
    if process.stdin is None:
        raise AssertionError("process.stdin is not there yet")
    try:
        with process.stdin as stdin:
            for block in blocks:
                stdin.write(block)
    except BrokenPipeError:
        return  # zstd ended by itself: its exit code and words tell why
    except BaseException as error:  # handed to the reader, who raises it
        failures.append(error)
        process.kill()
