# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the first and the last bytes of a dump betray, before anybody spends minutes on loading it.

A look finds empty, cut and foreign files cheaply. It proves nothing good: that is what the checks on the
whole stream are for.
"""

from __future__ import annotations

__metaclass__ = type

import contextlib
import zlib
from typing import Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import size_text

HEAD = 65536  # bytes to read of the beginning
TAIL = 1024  # bytes to read of the end

_GZIP, _ZSTD, _CUSTOM = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PGDMP"
_PLAIN = (b"PostgreSQL database dump", b"PostgreSQL database cluster dump")
_PLAIN_END = b"dump complete"
# deflate makes nothing smaller than this many times.
_DEFLATE_LIMIT = 1032
# How many packed bytes are unpacked at once: at most a thousand times as many come out.
_STEP = 1024
# How far the ratio of a whole dump may be from the ratio of its beginning.
_RATIO_SLACK = 16


def problem(head: bytes, tail: bytes, size: int) -> str:
    """Return in a sentence what is wrong with an object of `size` bytes; empty when nothing is seen.

    `head` holds its first HEAD bytes, `tail` its last TAIL bytes (less where it is shorter).
    """
    if head.startswith(_GZIP):
        return _gzip_problem(head, tail, size)
    if head.startswith(_ZSTD):
        return ""
    return _dump_problem(head, tail, size)


def plain_head(head: bytes) -> bytes:
    """Return the beginning of the dump itself: `head` unpacked where it is gzip, else as it is."""
    return _unpack(head)[0] if head.startswith(_GZIP) else head


def _dump_problem(head: bytes, tail: bytes, size: int) -> str:
    """Judge a dump that is not compressed as a whole."""
    if head.startswith(_CUSTOM):
        # Each table's data ends with a block of length 0: one byte of sign and four of zero.
        cut = not tail.endswith(b"\0" * 5)
        return "it is an archive of pg_dump that ends in the middle (or holds no data)" if cut else ""
    if head[257:262] == b"ustar":
        cut = size % 512 != 0 or not tail.endswith(b"\0" * 1024)
        return "it is a tar archive without its end" if cut else ""
    if not _is_plain(head):
        return "it does not begin like a dump of PostgreSQL (%r)" % head[:16]
    if _PLAIN_END not in tail:
        return "it is plain SQL without the line `PostgreSQL database dump complete` at its end: it is cut"
    return ""


def _is_plain(head: bytes) -> bool:
    return any(title in head[:4096] for title in _PLAIN)


def _gzip_problem(head: bytes, tail: bytes, size: int) -> str:
    content, used = _unpack(head)
    whole = size <= len(head)
    if size < 18:
        return "it is a gzip file cut to %s" % size_text(size)
    length = int.from_bytes(tail[-4:], "little")
    if whole and not content:
        return "it is a gzip file of nothing (%s): the dump that was piped into it wrote nothing" % (
            size_text(size)
        )
    if not (_is_plain(content) or content.startswith(_CUSTOM) or content[257:262] == b"ustar"):
        return "what is in its gzip does not begin like a dump of PostgreSQL (%r)" % content[:16]
    if whole:
        return _short_gzip_problem(head, content)
    if not _length_is_plausible(length, size, len(content) / max(1, used)):
        return "it is a gzip file that is cut or damaged: its end says %s unpacked for %s packed" % (
            size_text(length),
            size_text(size),
        )
    return ""


def _short_gzip_problem(packed: bytes, content: bytes) -> str:
    """Judge a gzip file that was read as a whole."""
    unpacker = zlib.decompressobj(31)
    try:
        unpacker.decompress(packed)
    except zlib.error as error:
        return "it is a damaged gzip file (%s)" % error
    if not unpacker.eof:
        return "it is a gzip file that is cut: its end is missing"
    if _is_plain(content) and _PLAIN_END not in content[-TAIL:]:
        return "the SQL in its gzip lacks the line `PostgreSQL database dump complete`: the dump was cut"
    return ""


def _length_is_plausible(length: int, size: int, ratio: float) -> bool:
    """Tell whether the unpacked length (modulo 4 GiB) in a gzip's end fits its size and its beginning.

    The last four bytes of a cut file are any number, so most cut files are found this way.
    """
    least = size * max(0.99, ratio / _RATIO_SLACK)
    most = size * min(float(_DEFLATE_LIMIT), ratio * _RATIO_SLACK)
    if most >= 2**32:
        return True
    return least - 65536 <= length <= most + 65536


def _unpack(packed: bytes) -> Tuple[bytes, int]:
    """Return what the beginning of a gzip file unpacks to, and how many of its bytes that took."""
    unpacker = zlib.decompressobj(31)
    content, used = b"", 0
    with contextlib.suppress(zlib.error):  # what came before the damage still says what it was
        while used < len(packed) and not unpacker.eof:
            content += unpacker.decompress(packed[used : used + _STEP])
            used += _STEP
    return content, min(used, len(packed))
