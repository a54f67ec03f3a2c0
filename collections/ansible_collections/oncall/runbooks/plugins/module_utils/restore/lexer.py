# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cut SQL into statements the way psql does, on bytes, whatever the sizes of the pieces it comes in.

PostgreSQL's rules: quotes (with backslashes in E'' strings), dollar quotes, nested comments, quoted
identifiers, brackets (rules hold several statements) and SQL-standard function bodies (BEGIN ATOMIC ... END).
"""

from __future__ import annotations

__metaclass__ = type

import re
from typing import Iterable, Pattern

_SPECIAL = re.compile(rb"[;'\"()$\\/\-]")
_IDENT = rb"[A-Za-z0-9_$\x80-\xff]"
_SPECIAL_OR_WORD = re.compile(
    rb"[;'\"()$\\/\-]|(?<!"
    + _IDENT
    + rb")(?:[bB][eE][gG][iI][nN]|[cC][aA][sS][eE]|[eE][nN][dD])(?!"
    + _IDENT
    + rb")"
)
_IDENT_BYTES = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$" + bytes(range(128, 256))
)
_DOLLAR = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?(\$)?")
_BODY = re.compile(rb"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", re.IGNORECASE)
_NEXT_WORD = re.compile(rb"\s+([A-Za-z]*)")
_CONTINUED = re.compile(rb"[ \t\r\f\v]*\n\s*'")
_BLANK_TAIL = re.compile(rb"\s*\Z")
_SPACE = re.compile(rb"\s*")
_HEAD = 80
"""Bytes that decide whether a statement makes a function: keywords and the blanks between them."""


class CutError(Exception):
    """The input ended inside a statement; the text says inside what."""


class Feed:
    """The bytes that were read and not yet taken, and the line they start on."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self.buffer = bytearray()
        self.ended = False
        self.line = 1

    def block(self) -> bytes:
        """Return the next block as it comes, not appended; empty at the end of the input."""
        for block in self._blocks:
            if block:
                return block
        self.ended = True
        return b""

    def more(self) -> bool:
        """Append the next block; False at the end of the input."""
        block = self.block()
        self.buffer += block
        return bool(block)

    def ensure(self, size: int) -> bool:
        """Read until `size` bytes are there; False when the input ends before."""
        while len(self.buffer) < size:
            if not self.more():
                return False
        return True

    def take(self, size: int) -> bytes:
        """Remove and return the first `size` bytes."""
        with memoryview(self.buffer) as view:
            taken = bytes(view[:size])
        del self.buffer[:size]
        self.line += taken.count(b"\n")
        return taken

    def skip_blanks(self) -> bool:
        """Drop white space; False when nothing is left."""
        while True:
            match = _SPACE.match(self.buffer)
            size = match.end() if match else 0
            if size:
                self.take(size)
            if self.buffer:
                return True
            if not self.more():
                return False

    def take_line(self) -> bytes:
        """Remove and return the rest of the line without its end."""
        start = 0
        while True:
            end = self.buffer.find(b"\n", start)
            if end >= 0:
                return self.take(end + 1)[:-1].rstrip(b"\r")
            start = len(self.buffer)
            if not self.more():
                return self.take(len(self.buffer)).rstrip(b"\r")


class StatementScanner:
    """Finds the end of the statement that starts at the feed's first byte."""

    def __init__(self, feed: Feed, *, standard_strings: bool = True) -> None:
        self._feed = feed
        self._buffer = feed.buffer
        self._standard = standard_strings
        self._position = 0
        self._brackets = 0
        self._bodies = 0

    def end(self) -> int:
        """Return the position behind the semicolon; raise CutError when the input ends before."""
        self._feed.ensure(_HEAD)
        has_body = _BODY.match(self._buffer) is not None
        pattern = _SPECIAL_OR_WORD if has_body else _SPECIAL
        while True:
            found = self._next(pattern)
            byte = bytes(self._buffer[found : found + 1])
            if byte == b";":
                self._position = found + 1
                if self._brackets <= 0 and self._bodies <= 0:
                    return self._position
            else:
                self._pass(found, byte)

    def _next(self, pattern: Pattern[bytes]) -> int:
        while True:
            match = pattern.search(self._buffer, self._position)
            if match and (match.end() < len(self._buffer) or self._feed.ended or match.group() == b";"):
                return match.start()
            self._position = match.start() if match else self._before_word(len(self._buffer))
            if not self._feed.more() and not match:
                raise CutError("in the middle of a statement")

    def _before_word(self, position: int) -> int:
        while position > self._position and self._buffer[position - 1] in _IDENT_BYTES:
            position -= 1
        return position

    def _pass(self, at: int, byte: bytes) -> None:
        if byte == b"'":
            self._quoted(at)
        elif byte == b'"':
            self._position = self._find(b'"', at + 1, "a quoted name") + 1
        elif byte == b"(":
            self._brackets += 1
            self._position = at + 1
        elif byte == b")":
            self._brackets -= 1
            self._position = at + 1
        elif byte == b"$":
            self._dollar(at)
        elif byte in (b"-", b"/"):
            self._comment(at)
        elif byte == b"\\":
            raise CutError("with a backslash command inside a statement")
        else:
            self._word(at)

    def _find(self, token: bytes, start: int, inside: str) -> int:
        while True:
            found = self._buffer.find(token, start)
            if found >= 0:
                return found
            start = max(start, len(self._buffer) - len(token) + 1)
            if not self._feed.more():
                raise CutError("inside " + inside)

    def _quoted(self, at: int) -> None:
        before = self._buffer[at - 1 : at] if at else b""
        escaped = before in (b"e", b"E") and (at < 2 or self._buffer[at - 2] not in _IDENT_BYTES)
        if self._standard and not escaped:
            self._position = self._find(b"'", at + 1, "a string") + 1
        else:
            self._position = self._escaped(at + 1)

    def _escaped(self, position: int) -> int:
        """Return the position behind a string in which backslashes escape."""
        while True:
            quote = self._find(b"'", position, "a string")
            backslash = self._buffer.find(b"\\", position, quote)
            if backslash >= 0:
                position = backslash + 2
                continue
            if not self._there(quote + 1):
                return quote + 1
            if self._buffer[quote + 1] == ord("'"):
                position = quote + 2
                continue
            again = self._continued(quote + 1)
            if not again:
                return quote + 1
            position = again

    def _continued(self, position: int) -> int:
        """Return where a string goes on after a line break (0: it does not)."""
        while _BLANK_TAIL.match(self._buffer, position) and self._feed.more():
            pass
        match = _CONTINUED.match(self._buffer, position)
        return match.end() if match else 0

    def _there(self, position: int) -> bool:
        return self._feed.ensure(position + 1)

    def _dollar(self, at: int) -> None:
        self._position = at + 1
        if at and self._buffer[at - 1] in _IDENT_BYTES:
            return
        while True:
            match = _DOLLAR.match(self._buffer, at)
            if match is None or match.group(1) or match.end() < len(self._buffer) or not self._feed.more():
                break
        if match is not None and match.group(1):
            tag = match.group()
            self._position = self._find(tag, at + len(tag), "a dollar-quoted text") + len(tag)

    def _comment(self, at: int) -> None:
        pair = bytes(self._buffer[at : at + 2]) if self._there(at + 1) else b""
        self._position = at + 1
        if pair == b"--":
            self._position = self._find(b"\n", at, "a statement") + 1
        elif pair == b"/*":
            self._position = comment_end(self._feed, at)

    def _word(self, at: int) -> None:
        word = bytes(self._buffer[at : at + 5]).lower()
        size = 5 if word == b"begin" else 4 if word[:4] == b"case" else 3
        self._position = at + size
        if self._brackets:
            return
        if word == b"begin":
            self._bodies += self._atomic(self._position)
        elif word[:4] == b"case":
            self._bodies += 1 if self._bodies else 0
        elif self._bodies:
            self._bodies -= 1

    def _atomic(self, position: int) -> int:
        """Return 1 when BEGIN is followed by ATOMIC (and is not the name of a column)."""
        while True:
            match = _NEXT_WORD.match(self._buffer, position)
            if (match and match.end() < len(self._buffer)) or not self._feed.more():
                return int(bool(match and match.group(1).lower() == b"atomic"))


def comment_end(feed: Feed, at: int) -> int:
    """Return the position behind the (nested) comment that starts at `at`; CutError when it has no end."""
    depth, position = 0, at
    mark = re.compile(rb"/\*|\*/")
    while True:
        match = mark.search(feed.buffer, position)
        if match is None:
            position = max(position, len(feed.buffer) - 1)
            if not feed.more():
                raise CutError("inside a comment")
            continue
        position = match.end()
        depth += 1 if match.group() == b"/*" else -1
        if depth == 0:
            return position
