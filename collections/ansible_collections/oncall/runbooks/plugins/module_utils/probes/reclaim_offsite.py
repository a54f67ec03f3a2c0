# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a local file is also somewhere else, byte by byte, so that losing it loses nothing."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import os
import re
from typing import Any, Iterator, List, Mapping, Sequence

_MIB = 1024 * 1024
_CHUNK = _MIB
_PLAIN = re.compile(r"[0-9a-f]{32}")
_IN_PARTS = re.compile(r"([0-9a-f]{32})-(\d+)")
# Sizes of the parts that programs upload in; a store tells only how many there were.
_PART_SIZES = tuple(_MIB * size for size in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024))


def unproved(path: str, copies: Sequence[Mapping[str, Any]]) -> str:
    """Return why nothing proves that one of `copies` is the file at `path`; "" when one is.

    A copy has key, size and etag, as a store of objects tells them: the MD5 of the content, or that of its
    parts' MD5s with their number. Raises OSError when the file cannot be read.
    """
    name = os.path.basename(path)
    named = [copy for copy in copies if os.path.basename(str(copy.get("key"))) == name]
    if not named:
        return "there is no copy of it"
    size = os.path.getsize(path)
    same = [copy for copy in named if copy.get("size") == size]
    if not same:
        return "its copy has %d bytes, it has %d" % (named[0].get("size") or 0, size)
    told = [str(copy.get("etag") or "").strip('"') for copy in same]
    if any(etag in _etags(path, size, etag) for etag in told):
        return ""
    return "its copy has the same size, and not, as far as the store tells, the same content"


def _etags(path: str, size: int, told: str) -> Iterator[str]:
    """Yield what a store that told the etag `told` would say of the file."""
    if _PLAIN.fullmatch(told):
        yield _of_parts(path, max(size, 1))[0].hex()
    parts = _IN_PARTS.fullmatch(told)
    if parts:
        count = int(parts.group(2))
        for length in _PART_SIZES:
            if -(-size // length) == count:
                yield "%s-%d" % (hashlib.md5(b"".join(_of_parts(path, length))).hexdigest(), count)  # noqa: S324


def _of_parts(path: str, length: int) -> Sequence[bytes]:
    """Return the MD5 of each `length` bytes of the file: what a store compares by, not a secret's guard."""
    made: List[bytes] = []
    with open(path, "rb") as handle:
        while True:
            digest, left = hashlib.md5(), length  # noqa: S324
            while left and (chunk := handle.read(min(_CHUNK, left))):
                digest.update(chunk)
                left -= len(chunk)
            if left == length and made:
                return made
            made.append(digest.digest())
            if left:
                return made
