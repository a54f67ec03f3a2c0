"""Dumps made by hand for tests of the loader and of the whole restore."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev

from runbook.rehearsal.postgres_server import PostgresServer

END = ev.End(marker=True, bytes_in=1, bytes_out=1, sha256="")


def login_of(server: PostgresServer, **more: str) -> pg.Login:
    """Return the login of the server's superuser, or of the role that `more` names."""
    values = {
        "user": server.superuser,
        "password": server.password,
        "application_name": "oncall-test",
        **more,
    }
    return pg.Login("127.0.0.1", server.port, **values)  # type: ignore[arg-type]


def sql(text: str, section: str = ev.PRE_DATA, kind: str = "OTHER", **more: object) -> ev.Sql:
    """Return one statement."""
    return ev.Sql(section, text, kind, **more)  # type: ignore[arg-type]


def head(table: str = "public.t") -> list[ev.Event]:
    """Return the settings of pg_dump and one table."""
    return [
        sql("SET client_encoding = 'UTF8';", kind="SET"),
        sql("SELECT pg_catalog.set_config('search_path', '', false);", kind="SET"),
        sql(f"CREATE TABLE {table} (id bigint NOT NULL, name text);", kind="TABLE", names=(table,)),
    ]


def copy(rows: Iterable[bytes], table: str = "public.t", line: int = 10) -> Iterator[ev.Event]:
    """Yield one table's rows, one chunk per element."""
    yield ev.CopyStart(table, "(id, name)", f"COPY {table} (id, name) FROM stdin;", line)
    count = 0
    for row in rows:
        count += row.count(b"\n")
        yield ev.CopyData(row, row.count(b"\n"))
    yield ev.CopyEnd(count)


def chunks(count: int, size: int = 500) -> list[bytes]:
    """Return `count` rows in chunks of `size`."""
    return [
        b"".join(b"%d\tname %d\n" % (n, n) for n in range(start, start + size))
        for start in range(0, count, size)
    ]


def small_dump(rows: int = 1000) -> Iterator[ev.Event]:
    """Yield a whole dump of one table with a primary key."""
    yield from head()
    yield from copy(chunks(rows))
    yield sql(
        "ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);",
        ev.POST_DATA,
        "CONSTRAINT",
        names=("public.t",),
        creates="public.t_pkey",
    )
    yield END


class HandSource:
    """A source whose events come from a function."""

    def __init__(self, make: Callable[[], Iterator[ev.Event]] = small_dump, size: int = 1000) -> None:
        self._make = make
        self.size = size
        self.closed = False
        self.warnings: list[str] = []
        self.skipped: list[ev.Skipped] = []
        self.header_is = ev.DumpHeader("plain", "gzip", "14.0", "14.0")

    def header(self) -> ev.DumpHeader:
        """Return what the head of the dump says."""
        return self.header_is

    def events(self) -> Iterator[ev.Event]:
        """Yield the dump."""
        yield from self._make()

    def close(self) -> None:
        """End reading."""
        self.closed = True
