# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a plain dump (pg_dump 9.6 and newer) as dump events, in constant memory."""

from __future__ import annotations

__metaclass__ = type

import re
from typing import Iterable, Iterator, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import plain_statements as st
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.lexer import (
    CutError,
    Feed,
    StatementScanner,
    comment_end,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain_rules import Rules, refused
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    DumpError,
    TruncatedError,
)

CHUNK = 1 << 20
"""Bytes in one CopyData event, up to half as many more, unless a single row is longer."""
_MARKER = "-- PostgreSQL database dump complete"
_CLUSTER = "-- PostgreSQL database cluster dump"
_COMMENTS = (
    ("server_version", "-- Dumped from database version "),
    ("dump_version", "-- Dumped by pg_dump version "),
)
_MULTIBYTE_ASCII = frozenset(
    ("sjis", "shift_jis_2004", "big5", "gbk", "uhc", "gb18030", "johab", "mskanji", "win932", "shiftjis")
)
# A pattern finds the terminator twice as fast as bytes.find().
_LINE_ENDS = re.compile(rb"\n()\\\.\r?\n")
_FIRST_LINE_ENDS = re.compile(rb"()\\\.\r?\n")
_CONNECT_NAME = re.compile(r"dbname='((?:[^'\\]|\\.)*)'")


class RowCutter:
    """Takes the rows of one COPY block from a feed, whatever the sizes of the feed's blocks."""

    def __init__(self, feed: Feed, table: str) -> None:
        self._feed, self._table = feed, table
        self.rows = 0

    def pieces(self) -> Iterator[ev.CopyData]:
        """Yield whole rows; ends behind the terminator line."""
        buffer, scanned = self._feed.buffer, 0
        while True:
            end = self._terminator(scanned)
            limit = len(buffer) if end is None else end[0]
            cut = limit if end and limit <= CHUNK else self._row_end(limit)
            if cut:
                yield self._take(cut)
            elif not end:
                block = self._feed.block()
                if not block:
                    raise CutError("in the rows of table %s" % self._table)
                passed = self._pass_on(block)
                if passed:
                    yield passed
                scanned = 0 if passed else max(0, len(buffer) - 4)
                buffer += b"" if passed else block
                continue
            if end and cut == limit:
                self._feed.take(end[1] - end[0])
                return
            scanned = max(0, scanned - cut)

    def _take(self, size: int) -> ev.CopyData:
        before = self._feed.line
        data = self._feed.take(size)
        return self._counted(data, self._feed.line - before)

    def _counted(self, data: bytes, rows: int) -> ev.CopyData:
        self.rows += rows
        return ev.CopyData(data, rows)

    def _pass_on(self, block: bytes) -> Optional[ev.CopyData]:
        """Return a large block's rows behind the one that was begun, copied once; None where it is cut."""
        buffer = self._feed.buffer
        end = block.rfind(b"\n") + 1
        if not CHUNK // 2 <= end <= CHUNK or len(buffer) > CHUNK // 2:
            return None
        with memoryview(block) as view:
            data = b"".join((buffer, view[:end]))
        if _FIRST_LINE_ENDS.match(data) or _LINE_ENDS.search(data):
            return None
        buffer[:] = block[end:]
        rows = data.count(b"\n")
        self._feed.line += rows
        return self._counted(data, rows)

    def _row_end(self, limit: int) -> int:
        """Return the last row end within CHUNK bytes, else the first one behind (0: none yet, or too few)."""
        if limit < CHUNK // 2:
            return 0
        buffer = self._feed.buffer
        return buffer.rfind(b"\n", 0, CHUNK) + 1 or buffer.find(b"\n", CHUNK, limit) + 1

    def _terminator(self, start: int) -> Optional[Tuple[int, int]]:
        """Return where the rows end and where the terminator's line ends."""
        buffer = self._feed.buffer
        match = None if start else _FIRST_LINE_ENDS.match(buffer)
        match = match or _LINE_ENDS.search(buffer, start)
        return (match.start(1), match.end()) if match else None


class PlainReader:
    """Turns the bytes of a plain dump into events.

    After the last event `marker` tells that the dump's own end was there, `skipped` what was left out, and
    `facts` what the dump says about itself. `rows_only`: the input is one table's INSERTs, with no end mark.
    """

    def __init__(self, blocks: Iterable[bytes], *, rows_only: bool = False) -> None:
        self._feed = Feed(blocks)
        self._rules = Rules()
        self._section = ev.DATA if rows_only else ev.PRE_DATA
        self._rows_only = rows_only
        self._standard_strings = True
        self._restricted: Optional[str] = None
        self._last = "its first lines"
        self.marker = False
        self.facts = {"server_version": "", "dump_version": "", "encoding": ""}

    @property
    def skipped(self) -> List[ev.Skipped]:
        """Statements that were left out, and why."""
        return self._rules.skipped

    @property
    def database(self) -> str:
        """Name of the database where the dump holds CREATE DATABASE."""
        return self._rules.database

    def events(self) -> Iterator[ev.Event]:
        """Yield every event but `End`; raise TruncatedError when the dump's end is missing."""
        try:
            while self._feed.skip_blanks():
                yield from self._item()
        except CutError as cut:
            if "backslash" in str(cut):
                raise DumpError(
                    "read the dump", on="line %d" % self._feed.line, got="it goes on " + str(cut)
                ) from cut
            raise self._truncated(str(cut)) from cut
        if not self.marker and not self._rows_only:
            raise self._truncated("after " + self._last)
        if self._restricted is not None:
            raise self._truncated(r"before the \unrestrict line that ends it")

    def _item(self) -> Iterator[ev.Event]:
        feed = self._feed
        feed.ensure(2)
        head = bytes(feed.buffer[:2])
        if head == b"--":
            self._comment(feed.take_line().decode("utf-8", "replace"))
        elif head == b"/*":
            feed.take(comment_end(feed, 0))
        elif head[:1] == b"\\":
            line = feed.line
            self._command(feed.take_line().decode("utf-8", "surrogateescape"), line)
        elif head[:1] == b";":
            feed.take(1)
        else:
            yield from self._statement()

    def _comment(self, line: str) -> None:
        if line == _MARKER:
            self.marker = True
        elif line == _CLUSTER:
            raise refused(self._feed.line - 1, line, "this is a dump of a whole server (pg_dumpall)")
        for fact, start in _COMMENTS:
            if line.startswith(start) and not self.facts[fact]:
                self.facts[fact] = line[len(start) :].strip()

    def _command(self, text: str, line: int) -> None:
        word, _space, rest = text.partition(" ")
        rest = rest.strip()
        if word == "\\restrict" and rest and self._restricted is None:
            self._restricted = rest
        elif word == "\\unrestrict" and self._restricted is not None and rest == self._restricted:
            self._restricted = None
        elif word in ("\\connect", "\\c") and self._restricted is None:
            self._rules.connect(_connect_name(rest), line)
        elif self._feed.line == line:  # its line end is missing
            raise CutError("in the command in line %d" % line)
        else:
            raise refused(line, text, "it is a command for psql that pg_dump does not write here")

    def _statement(self) -> Iterator[ev.Event]:
        feed = self._feed
        line, head = feed.line, bytes(feed.buffer[:200])
        self._last = "the statement in line %d" % line
        try:
            size = StatementScanner(feed, standard_strings=self._standard_strings).end()
        except CutError as cut:
            shown = " ".join(head.decode("utf-8", "replace").split())[:60]
            raise CutError("%s (line %d: %s ...)" % (cut, line, shown)) from cut
        text = feed.take(size).decode("utf-8", "surrogateescape")
        if self.marker:
            raise refused(line, text, "it comes behind the end of the dump: are these two dumps in one?")
        copy = st.copy_target(text) if text[:4].upper() == "COPY" else None
        if copy:
            yield from self._rows(copy, text, line)
        elif self._rules.passes(text, line):
            yield self._sql(text, line)

    def _sql(self, text: str, line: int) -> ev.Sql:
        meaning = st.classify(text)
        if meaning.kind == "SET":
            self._noted(text, line)
        section = st.next_section(self._section, meaning.kind)
        if meaning.kind == "INSERT" and section == ev.POST_DATA:
            raise self._interleaved(text, line)
        self._section = section
        kind = "LARGE OBJECT" if meaning.kind == "LARGE OBJECT DATA" else meaning.kind
        optional = kind == "SET" and st.is_optional(text)
        return ev.Sql(section, text, kind, meaning.names, meaning.creates, optional, line)

    def _rows(self, copy: Tuple[str, str], text: str, line: int) -> Iterator[ev.Event]:
        if self._section == ev.POST_DATA:
            raise self._interleaved(text, line)
        self._section = ev.DATA
        if self._feed.take_line().strip():
            raise DumpError("read the dump", on="line %d: %s" % (line, text[:80]), got="text behind the COPY")
        yield ev.CopyStart(copy[0], copy[1], text, line)
        cutter = RowCutter(self._feed, copy[0])
        yield from cutter.pieces()
        self._last = "the rows of table %s" % copy[0]
        yield ev.CopyEnd(cutter.rows)

    def _noted(self, text: str, line: int) -> None:
        name, value = st.setting(text)
        if name == "standard_conforming_strings":
            self._standard_strings = value in ("on", "true", "1", "yes")
        elif name == "client_encoding":
            self.facts["encoding"] = value.upper()
            if value.lower() in _MULTIBYTE_ASCII:
                raise refused(line, text, "texts in this encoding cannot be cut safely")

    def _interleaved(self, text: str, line: int) -> DumpError:
        return refused(line, text, "rows come behind indexes or constraints, which pg_dump never writes")

    def _truncated(self, where: str) -> TruncatedError:
        return TruncatedError(
            "read the dump to its end",
            on="line %d" % self._feed.line,
            got="the dump ends %s; the line `%s` is missing" % (where, _MARKER)
            if not self.marker
            else "the dump ends " + where,
            next_step="this backup is not whole: " + OTHER_BACKUP,
        )


def _connect_name(rest: str) -> str:
    r"""Return the database's name in the argument of \connect, in any form pg_dump writes it."""
    option = _CONNECT_NAME.search(rest)
    if option:
        return re.sub(r"\\(.)", r"\1", option.group(1))
    if rest.startswith('"') and rest.endswith('"'):
        return rest[1:-1].replace('""', '"')
    return rest
