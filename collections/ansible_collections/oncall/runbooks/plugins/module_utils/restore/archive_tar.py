# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a tar archive of pg_dump from a stream: its members in order, its end checked."""

from __future__ import annotations

__metaclass__ = type

from typing import Iterator, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import RefusedError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.toc import ByteStream

BLOCK = 512
_EMPTY = bytes(BLOCK)


def is_tar(head: bytes) -> bool:
    """Tell whether the first 512 bytes are the header of a tar member."""
    return len(head) >= BLOCK and head[257:262] == b"ustar" and _checksum_right(head[:BLOCK])


class TarStream:
    """Members one after another; each must be read before the next, what is left of it is skipped."""

    def __init__(self, stream: ByteStream, on: str = "") -> None:
        self._stream, self._on = stream, on

    def members(self) -> Iterator[Tuple[str, Iterator[bytes]]]:
        """Yield (name, content); the two empty blocks of the end must be there."""
        while True:
            head = self._stream.read(BLOCK)
            if head == _EMPTY:
                if self._stream.read(BLOCK) != _EMPTY:
                    raise self._stream.damaged("a half end mark")
                for rest in self._stream.rest():
                    if rest.strip(b"\0"):
                        raise self._stream.damaged("something behind the end mark")
                return
            if not _checksum_right(head):
                raise self._stream.damaged("a member whose checksum is wrong")
            name = head[:100].rstrip(b"\0").decode("utf-8", "replace")
            size = _number(head[124:136])
            content = self._stream.pieces(size)
            yield name, content
            for _unused in content:
                pass
            self._stream.read(-size % BLOCK)

    def unknown(self, name: str) -> RefusedError:
        """Return the error for a tar that pg_dump did not write."""
        return RefusedError(
            "read the archive",
            on=self._on,
            got="this tar holds %s, which pg_dump -Ft does not write" % name,
            next_step="upload what is in it: a plain dump, or a directory archive under a prefix",
        )


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU's form for what does not fit into octal digits
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.rstrip(b"\0 ") or b"0", 8)


def _checksum_right(head: bytes) -> bool:
    try:
        wanted = _number(head[148:156])
    except ValueError:
        return False
    return sum(head[:148]) + 8 * 32 + sum(head[156:]) == wanted
