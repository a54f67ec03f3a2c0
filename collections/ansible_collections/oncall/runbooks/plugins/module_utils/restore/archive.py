# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read pg_dump archives (custom, tar, directory) as dump events, each as one linear stream."""

from __future__ import annotations

__metaclass__ = type

import itertools
from abc import ABC, abstractmethod
from typing import Callable, Iterable, Iterator, List, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import plain_statements as st
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive_tar import TarStream
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive_tools import Tools
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.decompress import decompress, detect
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.lexer import CutError, Feed
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain import PlainReader, RowCutter
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    TruncatedError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.toc import ByteStream, Entry, Toc

_ROWS, _LARGE_OBJECTS = 1, 3
_SUFFIXES = ("", ".gz", ".zst", ".lz4")
_WORTH_A_STEP = 1 << 18


class Archive(ABC):
    """What the three formats share: SQL from pg_restore around the data, and the check that all data came."""

    def __init__(self, toc: Toc, tools: Tools, on: str) -> None:
        self.toc, self._tools, self._on = toc, tools, on
        self._seen: Set[int] = set()
        self.skipped: List[ev.Skipped] = []

    def events(self) -> Iterator[ev.Event]:
        """Yield every event but `End`."""
        reader = PlainReader([self._tools.schema(self.toc.head_without_data(), self._on)])
        statements = [event for event in reader.events() if isinstance(event, ev.Sql)]
        self.skipped = reader.skipped
        for statement in statements:
            if statement.section != ev.POST_DATA:
                yield statement
        post_data = tuple(statement for statement in statements if statement.section == ev.POST_DATA)
        filled = self._filled_by_copy()
        if filled:
            yield ev.Ahead(post_data, filled)
        yield from self.data()
        self._check_complete()
        if not filled:
            yield from post_data

    def _filled_by_copy(self) -> Tuple[str, ...]:
        """Return the tables that are filled; empty when rows of one come in another way than its own COPY.

        INSERTs, and COPY into the root of partitions, do not say when a table is full.
        """
        filled = []
        for entry in self.toc.with_data:
            if entry.description != "TABLE DATA":
                continue
            target = st.copy_target(self._copy_statement(entry)) if entry.copy else None
            if target is None or st.unquoted_parts(target[0]) != (entry.namespace, entry.tag):
                return ()
            filled.append(target[0])
        return tuple(filled)

    @abstractmethod
    def data(self) -> Iterator[ev.Event]:
        """Yield the events of the data section."""

    def _rows(self, entry: Entry, content: Iterable[bytes]) -> Iterator[ev.Event]:
        """Yield one table's rows; its terminator must be there."""
        self._seen.add(entry.dump_id)
        if not entry.copy:
            yield from PlainReader(content, rows_only=True).events()
            return
        statement = self._copy_statement(entry)
        target = st.copy_target(statement) or (entry.table, "")
        yield ev.CopyStart(target[0], target[1], statement)
        feed = Feed(content)
        cutter = RowCutter(feed, target[0])
        try:
            yield from cutter.pieces()
        except CutError as cut:
            raise self._incomplete("the archive ends " + str(cut)) from cut
        if feed.skip_blanks():
            raise self._incomplete("behind the rows of %s comes something else" % target[0])
        yield ev.CopyEnd(cutter.rows)

    def _copy_statement(self, entry: Entry) -> str:
        statement = entry.copy.strip()
        if self.toc.version >= (1, 13):
            return statement
        # Before 1.13 names were unqualified and meant the schema of the entry.
        target = st.copy_target(statement)
        return "COPY %s %s FROM stdin;" % (entry.table, target[1]) if target else statement

    def _large_object(self, oid: int, content: Iterable[bytes]) -> Iterator[ev.Event]:
        """Yield one large object in pieces, the last one marked."""
        held, first = b"", True
        for piece in content:
            if held:
                yield ev.LargeObject(oid, held, first, False)
                first = False
            held = piece
        yield ev.LargeObject(oid, held, first, True)

    def _check_complete(self) -> None:
        missing = [entry for entry in self.toc.with_data if entry.dump_id not in self._seen]
        if missing:
            raise self._incomplete(
                "the data of %d of %d entries is missing, first of %s"
                % (len(missing), len(self.toc.with_data), missing[0].table or missing[0].description)
            )

    def _incomplete(self, got: str) -> TruncatedError:
        return TruncatedError(
            "read the archive to its end",
            on=self._on,
            got=got,
            next_step="this backup is not whole: " + OTHER_BACKUP,
        )


class CustomArchive(Archive):
    """Format of `pg_dump -Fc`: head, then blocks of data in any order."""

    def __init__(self, blocks: Iterable[bytes], tools: Tools, on: str = "") -> None:
        self._stream = ByteStream(blocks, on)
        super().__init__(Toc(self._stream), tools, on)

    def data(self) -> Iterator[ev.Event]:
        """Yield the blocks as they come."""
        while not self._stream.at_end():
            kind = self._stream.read(1)[0]
            entry = self.toc.by_id.get(self.toc.read_int())
            if kind not in (_ROWS, _LARGE_OBJECTS) or entry is None or entry.dump_id in self._seen:
                raise self._stream.damaged("a block of kind %d that is not in the table of contents" % kind)
            events = self._rows(entry, self._content()) if kind == _ROWS else self._objects(entry)
            yield from events

    def _objects(self, entry: Entry) -> Iterator[ev.Event]:
        while True:
            oid = self.toc.read_int() & 0xFFFFFFFF
            if oid == 0:
                self._seen.add(entry.dump_id)
                return
            yield from self._large_object(oid, self._content())

    def _content(self) -> Iterator[bytes]:
        """Return the decompressed content up to the block's end; all of it must be read."""
        pieces = self._pieces()
        first = next(pieces, None)
        if first is None:
            return iter(())
        return decompress(itertools.chain((first,), pieces), self.toc.compression, self._on)

    def _pieces(self) -> Iterator[bytes]:
        """Yield the block's bytes, joined: pg_dump writes 4 KiB at a time, too little to be worth a step."""
        held: List[bytes] = []
        size_held = 0
        while True:
            size = self.toc.read_int()
            if size < 0:
                raise self._stream.damaged("a length of %d bytes" % size)
            for piece in self._stream.pieces(size):
                held.append(piece)
                size_held += len(piece)
            if size_held >= _WORTH_A_STEP or (held and size == 0):
                yield b"".join(held)
                held, size_held = [], 0
            if size == 0:
                return


class TarArchive(Archive):
    """Format of `pg_dump -Ft`: toc.dat, then a member for each table and large object."""

    def __init__(self, blocks: Iterable[bytes], tools: Tools, on: str = "") -> None:
        self._tar = TarStream(ByteStream(blocks, on), on)
        self._members = self._tar.members()
        name, content = next(self._members)
        if name != "toc.dat":
            raise self._tar.unknown(name)
        stream = ByteStream(content, on)
        super().__init__(Toc(stream), tools, on)
        if not stream.at_end():
            raise stream.damaged("something behind the table of contents")

    def data(self) -> Iterator[ev.Event]:
        """Yield the members as they come."""
        files = {entry.filename: entry for entry in self.toc.with_data}
        objects: Set[str] = set()
        for name, content in self._members:
            entry = files.get(name)
            if entry is not None and name.endswith(".dat"):
                yield from self._rows(entry, content)
            elif name.startswith("blob_"):
                objects.add(name)
                yield from self._large_object(int(name[5:].partition(".")[0]), content)
            elif name.startswith("blobs"):
                self._check_listed(self._list_entry(name), content, objects)
            elif name == "restore.sql":
                for _unused in content:
                    pass
            else:
                raise self._tar.unknown(name)

    def _list_entry(self, name: str) -> Entry:
        """Return the entry of `blobs_<id>.toc`, or the only one of `blobs.toc` (pg_dump before 17)."""
        number = name[6:].partition(".")[0]
        for entry in self.toc.with_data:
            if entry.description == "BLOBS" and number in ("", "toc", str(entry.dump_id)):
                return entry
        raise self._tar.unknown(name)

    def _check_listed(self, entry: Entry, content: Iterable[bytes], objects: Set[str]) -> None:
        """Check that every large object of a list came before it."""
        missing = [name for _oid, name in _listed(content) if name not in objects]
        if missing:
            raise self._incomplete("large object %s is missing" % missing[0])
        self._seen.add(entry.dump_id)


class DirectoryArchive(Archive):
    """Format of `pg_dump -Fd`: an object for each member under one prefix.

    `read(name)` yields the content of one object, by its name below the prefix; `names` are those there are.
    """

    def __init__(
        self, names: Iterable[str], read: Callable[[str], Iterable[bytes]], tools: Tools, on: str = ""
    ) -> None:
        self._names, self._read = frozenset(names), read
        stream = ByteStream(read("toc.dat"), on)
        super().__init__(Toc(stream), tools, on)
        if not stream.at_end():
            raise stream.damaged("something behind the table of contents")

    def data(self) -> Iterator[ev.Event]:
        """Yield table after table, as the table of contents lists them."""
        for entry in self.toc.with_data:
            if entry.filename.endswith(".toc"):
                for oid, name in list(_listed(self._content(entry.filename))):
                    yield from self._large_object(oid, self._content(name))
                self._seen.add(entry.dump_id)
            else:
                yield from self._rows(entry, self._content(entry.filename))

    def _content(self, name: str) -> Iterator[bytes]:
        for suffix in _SUFFIXES:
            if name + suffix in self._names:
                break
        else:
            raise self._incomplete("the object %s is missing" % name)
        blocks = iter(self._read(name + suffix))
        first = next(blocks, b"")
        # A member's rows never look like a magic number by chance when its name says nothing of it.
        kind = detect(first) if suffix else "none"
        return decompress(itertools.chain((first,), blocks), kind, name + suffix)


def _listed(content: Iterable[bytes]) -> Iterator["tuple[int, str]"]:
    """Yield (oid, file name) of a list of large objects."""
    for line in b"".join(content).decode("utf-8").splitlines():
        oid, _space, name = line.partition(" ")
        yield int(oid), name
