"""Archives that no pg_dump of this machine writes, made from those that one does."""

from __future__ import annotations

import zstandard
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive import CustomArchive
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.toc import ByteStream, Toc
from nasty_dumps import dump, pieces, rows, statements, tools

from runbook.rehearsal.postgres_server import PostgresServer

_MINOR, _INT_SIZE, _COMPRESSION = 6, 8, 11  # where these bytes are in an archive
_ZSTD, _LARGE_OBJECTS = 3, b"\x03"
_WRITTEN = 4096  # bytes that pg_dump writes at a time


class _Record:
    """Reads numbers and texts of an archive as raw bytes."""

    def __init__(self, archive: bytes) -> None:
        self.stream = ByteStream([archive])
        self.toc = Toc(self.stream)
        self.width = archive[_INT_SIZE]

    def number(self, value: int) -> bytes:
        return b"\0" + value.to_bytes(self.width, "little")

    def content(self) -> bytes:
        return b"".join(iter(lambda: self.stream.read(self.toc.read_int()), b""))


def with_zstd(archive: bytes) -> bytes:
    """Return an archive without compression as `pg_dump --compress=zstd` writes it."""
    record = _Record(archive)
    out = bytearray(archive[: record.stream.position])
    out[_COMPRESSION] = _ZSTD
    while not record.stream.at_end():
        kind = record.stream.read(1)
        out += kind + record.number(record.toc.read_int())
        more = True
        while more:
            if kind == _LARGE_OBJECTS:
                oid = record.toc.read_int()
                out += record.number(oid)
                if oid == 0:
                    break
            packed = zstandard.ZstdCompressor().compress(record.content())
            for piece in pieces(packed, _WRITTEN):
                out += record.number(len(piece)) + piece
            out += record.number(0)
            more = kind == _LARGE_OBJECTS
    return bytes(out)


def as_1_13(archive: bytes) -> bytes:
    """Return an archive of version 1.14 as pg_dump 11 wrote it: no entry names its table's access method."""
    record = _Record(archive)
    head = len(archive[:11]) + 1 + record.width + len(record.toc._facts)
    out = bytearray(archive[:head]) + record.number(len(record.toc.entries))
    out[_MINOR] = 13
    offset = bytes([1]) + bytes(archive[_INT_SIZE + 1])  # where its data is was not known
    for entry in record.toc.entries:
        start, end = _method(entry.raw, record.width)
        out += entry.raw[:start] + entry.raw[end:] + offset
    return bytes(out + archive[record.stream.position :])


def _method(raw: bytes, width: int) -> tuple[int, int]:
    """Return where the access method is in an entry: id, data, 4 texts, section, 5 texts, then it."""
    at, fields = 0, "nn" + "tttt" + "n" + "ttttt" + "t"
    for field in fields:
        start = at
        size = int.from_bytes(raw[at + 1 : at + 1 + width], "little") * (0 if raw[at] else 1)
        at += 1 + width + (size if field == "t" else 0)
    return start, at


def told(archive: bytes, postgres: PostgresServer) -> tuple[list[str], dict[str, bytes], dict[int, bytes]]:
    events = list(CustomArchive(pieces(archive, 70_000), tools(postgres)).events())
    ahead = [s.text for event in events if isinstance(event, ev.Ahead) for s in event.statements]
    objects: dict[int, bytes] = {}
    for event in events:
        if isinstance(event, ev.LargeObject):
            objects[event.oid] = objects.get(event.oid, b"") + event.data
    texts = [text for text in (*statements(events), *ahead) if "default_table_access_method" not in text]
    return texts, rows(events), objects


def test_a_version_or_compression_that_is_not_made_here(postgres: PostgresServer) -> None:
    archive = dump(postgres, "-Fc", "-Z0")
    if Toc(ByteStream([archive])).version >= (1, 15):
        made = with_zstd(archive)
        assert Toc(ByteStream([made])).compression == "zstd"
        assert len(made) < len(archive)
    else:
        made = as_1_13(archive)
        assert Toc(ByteStream([made])).version == (1, 13)
    wanted = told(archive, postgres)
    assert told(made, postgres) == wanted
    assert len(wanted[2]) == 3
