# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dump events: what a dump of any format says, in the order in which it says it.

Order: every `Sql` of pre-data; then data (`CopyStart CopyData* CopyEnd`, `LargeObject*`, `Sql` of section
data, in any order); then every `Sql` of post-data; then exactly one `End`. A source never goes back to an
earlier section: a dump that does is refused. A source that knows post-data beforehand tells it in one `Ahead`
between pre-data and data instead.

A source either yields `End` or raises an `OncallError`; whoever commits anything final waits for `End`.
"""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, Tuple, Union

PRE_DATA = "pre-data"
DATA = "data"
POST_DATA = "post-data"


@dataclass(frozen=True)
class Sql:
    """One complete statement, with its semicolon and without psql meta-commands.

    `kind` is what it does (see `plain_statements.classify`): SET, TABLE, TABLE ATTACH, INDEX, INDEX ATTACH,
    CONSTRAINT, FK CONSTRAINT, TRIGGER, RULE, MATERIALIZED VIEW DATA, SEQUENCE SET, INSERT, LARGE OBJECT,
    TRANSACTION, ACL, OWNER, COMMENT, EXTENSION, ..., OTHER.
    `names` are the tables it touches, as written in the dump (schema-qualified, quoted as in SQL): the table
    itself first, then those it refers to (FK CONSTRAINT, TABLE ATTACH: parent, then partition). For INDEX
    ATTACH they are the two indexes (parent, then child).
    `creates` is the name of the index that INDEX and CONSTRAINT make, qualified like the table's.
    `optional` marks a setting that an older server may not know and that can be left out then.
    `line` is the line of the dump where it starts (0 = unknown).
    """

    section: str
    text: str
    kind: str
    names: Tuple[str, ...] = ()
    creates: str = ""
    optional: bool = False
    line: int = 0

    @property
    def raw(self) -> bytes:
        """The statement's bytes as they are in the dump: right in every client encoding. Send these."""
        return self.text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class CopyStart:
    """The rows of `table` follow. `columns` is the list in brackets ("(a, b)") or empty.

    `statement` is the whole `COPY ... FROM stdin;`.
    """

    table: str
    columns: str
    statement: str
    line: int = 0

    @property
    def raw(self) -> bytes:
        """The statement's bytes as they are in the dump."""
        return self.statement.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class CopyData:
    """Whole rows in COPY's text format, ending in a line end; at most 1.5 MiB unless one row is longer.

    `rows` is the number of its line ends, counted once for everybody.
    """

    data: bytes
    rows: int


@dataclass(frozen=True)
class CopyEnd:
    """The table's terminator was there; `rows` is the number of rows since its `CopyStart`."""

    rows: int


@dataclass(frozen=True)
class LargeObject:
    """A piece of a large object, at most about 1 MiB; pieces come in order.

    The object itself was created (`lo_create`) by an `Sql` before. An empty object is one event with
    both `first` and `last`.
    """

    oid: int
    data: bytes
    first: bool
    last: bool


@dataclass(frozen=True)
class Ahead:
    """All of post-data in its order, told before the rows: a table's indexes can be built once it is filled.

    `tables` are those whose rows come with a COPY each, named as there and in `statements`.
    """

    statements: Tuple[Sql, ...]
    tables: Tuple[str, ...]


@dataclass(frozen=True)
class End:
    """The dump is complete: its end marker, its terminators and every checksum there is were right.

    `bytes_in` were read from the store, `bytes_out` came out of the decompressor; `sha256` is that of the
    bytes read (of all objects one after another for a directory archive).
    """

    marker: bool
    bytes_in: int
    bytes_out: int
    sha256: str


Event = Union[Sql, CopyStart, CopyData, CopyEnd, LargeObject, Ahead, End]


@dataclass(frozen=True)
class Skipped:
    """A statement of the dump that is not executed because a database of another name is loaded."""

    line: int
    statement: str
    reason: str


@dataclass(frozen=True)
class DumpHeader:
    """What the first bytes of a dump say about it; an empty value means: not said there.

    `format` is plain, custom, tar or directory; `compression` is that of the object (none, gzip, zstd, bzip2,
    xz), or for archives with one of their own that one. `extensions` and `tables` are complete for archives;
    for plain dumps they are those within the head that was given.
    """

    format: str
    compression: str = "none"
    server_version: str = ""
    dump_version: str = ""
    database: str = ""
    encoding: str = ""
    extensions: Tuple[str, ...] = ()
    tables: Tuple[str, ...] = ()
    complete_list: bool = False

    @property
    def server_major(self) -> int:
        """Major version of the server that was dumped (90600 style is not used: 9.6 gives 9); 0 = unknown."""
        head = self.server_version.split(" ", maxsplit=1)[0].split(".")[0]
        digits = "".join(c for c in head if c.isdigit())
        return int(digits) if digits else 0

    def as_dict(self) -> Dict[str, Any]:
        """The same for machines."""
        return {
            "format": self.format,
            "compression": self.compression,
            "server_version": self.server_version,
            "dump_version": self.dump_version,
            "database": self.database,
            "encoding": self.encoding,
            "extensions": list(self.extensions),
            "tables": list(self.tables),
        }
