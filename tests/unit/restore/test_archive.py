"""Archives give the same events as the plain dump of the same database, and are whole or an error."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive import (
    Archive,
    CustomArchive,
    DirectoryArchive,
    TarArchive,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.archive_tools import Tools
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain import PlainReader
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    DumpError,
    RefusedError,
    ToolError,
    TruncatedError,
)
from nasty_dumps import dump, nasty_database, pieces, rows, statements, tools

from runbook.rehearsal.postgres_server import PostgresServer

_LARGE_OBJECT_DATA = ("pg_catalog.lo_open", "pg_catalog.lowrite", "pg_catalog.lo_close", "BEGIN;", "COMMIT;")
OBJECTS = {
    4100001: b"\\.\n-- PostgreSQL",
    4100002: b"",
    4100003: rb"large object; \. " * 90000,
}


def plain(postgres: PostgresServer) -> list[Any]:
    return list(PlainReader([dump(postgres)]).events())


def without_objects(events: list[Any]) -> list[str]:
    return [t for t in statements(events) if not any(word in t for word in _LARGE_OBJECT_DATA)]


def large_objects(events: list[Any]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for event in events:
        if isinstance(event, ev.LargeObject):
            assert event.first == (event.oid not in found)
            found[event.oid] = found.get(event.oid, b"") + event.data
    return found


def in_order(events: list[Any], filled: set[str]) -> list[Any]:
    """Put what was told ahead of the rows where a plain dump has it; it must name every table by its COPY."""
    (ahead,) = (event for event in events if isinstance(event, ev.Ahead))
    assert set(ahead.tables) == filled
    rest = [event for event in events if event is not ahead]
    sections = [event.section for event in rest[: events.index(ahead)]]
    assert ev.POST_DATA not in sections
    assert "TABLE" in {event.kind for event in rest[: events.index(ahead)]}
    return [*rest, *ahead.statements]


def same_as_plain(told: list[Any], postgres: PostgresServer) -> None:
    wanted = plain(postgres)
    events = in_order(told, {event.table for event in wanted if isinstance(event, ev.CopyStart)})
    assert without_objects(events) == without_objects(wanted)
    assert rows(events) == rows(wanted)
    assert large_objects(events) == OBJECTS
    sections = [event.section for event in events if isinstance(event, ev.Sql)]
    assert sections == sorted(sections, key=["pre-data", "data", "post-data"].index)


@pytest.mark.parametrize(
    ("options", "kind"),
    [(("-Fc",), CustomArchive), (("-Fc", "-Z0"), CustomArchive), (("-Ft",), TarArchive)],
    ids=["custom", "custom, not compressed", "tar"],
)
@pytest.mark.parametrize("size", [333, 1 << 20])
def test_same_events_as_the_plain_dump(
    postgres: PostgresServer, options: tuple[str, ...], kind: Any, size: int
) -> None:
    archive = kind(pieces(dump(postgres, *options), size), tools(postgres))
    same_as_plain(list(archive.events()), postgres)
    assert archive.toc.database == nasty_database(postgres)
    assert archive.toc.encoding() == "UTF8"
    assert set(archive.toc.extensions()) == {"hstore", "pg_trgm"}


def test_offsets_of_an_archive_written_to_a_file(postgres: PostgresServer, server_folder: Path) -> None:
    folder = _folder(postgres, server_folder)
    database = nasty_database(postgres)
    postgres.run("pg_dump", "-Fc", "-f", str(folder / "x.dump"), database=database)
    archive = CustomArchive([(folder / "x.dump").read_bytes()], tools(postgres))
    same_as_plain(list(archive.events()), postgres)


def test_inserts_in_an_archive(postgres: PostgresServer) -> None:
    archive = CustomArchive([dump(postgres, "-Fc", "--inserts")], tools(postgres))
    wanted = list(PlainReader([dump(postgres, "--inserts")]).events())
    assert not any(isinstance(event, ev.Ahead) for event in archive.events())
    archive = CustomArchive([dump(postgres, "-Fc", "--inserts")], tools(postgres))
    assert sorted(without_objects(list(archive.events()))) == sorted(without_objects(wanted))


def _folder(postgres: PostgresServer, server_folder: Path) -> Path:
    folder = server_folder / f"dumps-{postgres.binaries.label}"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return folder


def _directory(postgres: PostgresServer, server_folder: Path, *options: str) -> dict[str, bytes]:
    target = _folder(postgres, server_folder) / ("dir" + "".join(options))
    if not target.exists():
        database = nasty_database(postgres)
        postgres.run("pg_dump", "-Fd", *options, "-f", str(target), database=database)
    return {path.name: path.read_bytes() for path in target.iterdir()}


@pytest.mark.parametrize("options", [(), ("-Z0",)], ids=["gzip", "not compressed"])
def test_directory(postgres: PostgresServer, server_folder: Path, options: tuple[str, ...]) -> None:
    files = _directory(postgres, server_folder, *options)
    archive = DirectoryArchive(files, lambda name: pieces(files[name], 1000), tools(postgres))
    same_as_plain(list(archive.events()), postgres)


def test_directory_with_a_missing_or_cut_member(postgres: PostgresServer, server_folder: Path) -> None:
    files = _directory(postgres, server_folder)
    victim = max((name for name in files if name.endswith(".dat.gz")), key=lambda name: len(files[name]))
    for broken in (
        {name: data for name, data in files.items() if name != victim},
        {**files, victim: files[victim][:-1]},
        {**files, victim: gzip.compress(gzip.decompress(files[victim])[:-10])},
    ):
        archive = DirectoryArchive(broken, lambda name, b=broken: [b[name]], tools(postgres))  # type: ignore[misc]
        with pytest.raises(TruncatedError):
            list(archive.events())


class NoSchema(Tools):
    """No pg_restore: for tests of what the archive's own bytes say."""

    def schema(self, head: bytes, on: str = "") -> bytes:
        assert head.startswith(b"PGDMP")
        return b"-- PostgreSQL database dump complete\n"


@pytest.fixture
def small(postgres: PostgresServer, database: str) -> dict[str, bytes]:
    postgres.execute("CREATE TABLE a (x text); INSERT INTO a VALUES ('\\.'), ('b')", database=database)
    postgres.execute("SELECT lo_from_bytea(0, 'content')", database=database)
    options = {"-Fc": CustomArchive, "-Ft": TarArchive}
    return {o: postgres.run("pg_dump", o, database=database).stdout for o in options}


@pytest.mark.parametrize(("option", "kind"), [("-Fc", CustomArchive), ("-Ft", TarArchive)])
def test_an_archive_cut_anywhere_is_an_error(small: dict[str, bytes], option: str, kind: Any) -> None:
    data = small[option]
    step = 1 if option == "-Fc" else 37
    assert list(kind([data], NoSchema()).events())
    for size in [*range(0, len(data), step), len(data) - 1]:
        with pytest.raises(DumpError):
            list(kind([data[:size]], NoSchema()).events())


def test_a_changed_byte_in_the_rows_is_never_taken_for_right(postgres: PostgresServer, database: str) -> None:
    postgres.execute("CREATE TABLE a (x text); INSERT INTO a VALUES ('some'), ('rows')", database=database)
    data = postgres.run("pg_dump", "-Fc", database=database).stdout
    whole = list(CustomArchive([data], NoSchema()).events())
    errors = 0
    for at in range(data.rindex(b"\x78\x9c"), len(data)):
        broken = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        try:
            assert list(CustomArchive([broken], NoSchema()).events()) == whole
        except DumpError:
            errors += 1
    assert errors > 20


def test_says_what_pg_restore_is_missing_or_says(small: dict[str, bytes], postgres: PostgresServer) -> None:
    archive: Archive = CustomArchive([small["-Fc"]], Tools(client_dir="/nonexistent"))
    with pytest.raises(ToolError, match="postgresql-client"):
        list(archive.events())
    archive = CustomArchive([small["-Fc"]], tools(postgres))
    archive.toc._facts = b""
    with pytest.raises(ToolError, match="pg_restore: error"):
        list(archive.events())


def test_refuses_unknown_versions_and_other_tars(small: dict[str, bytes]) -> None:
    newer = small["-Fc"][:6] + b"\x63" + small["-Fc"][7:]
    with pytest.raises(RefusedError, match=r"version is 1\.99"):
        CustomArchive([newer], NoSchema())
