"""Plain dumps as events: real ones of every server here, and the ways they can be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import plain
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain import PlainReader
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain_statements import classify
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    DumpError,
    RefusedError,
    TruncatedError,
)
from nasty_dumps import dump, nasty_database, pieces, rows, statements

from runbook.rehearsal.postgres_server import PostgresServer

END = b"--\n-- PostgreSQL database dump complete\n--\n\n"
SMALL = (
    rb"""--
-- PostgreSQL database dump
--

\restrict abc

-- Dumped from database version 15.18
-- Dumped by pg_dump version 15.18

SET statement_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
CREATE TABLE public.t (a text, b integer);
COPY public.t (a, b) FROM stdin;
\\.	1
-- PostgreSQL database dump complete	2
\N	3
DROP TABLE public.t;	4
\.


COPY public.u  FROM stdin;
\.


SELECT pg_catalog.setval('public.s', 3, true);
CREATE INDEX i ON public.t USING btree (a);
"""
    + END
    + b"\\unrestrict abc\n\n"
)


def read(*blocks: bytes) -> list[Any]:
    return list(PlainReader(blocks).events())


def joined(events: list[Any]) -> list[Any]:
    """Return the events with the rows of each COPY in one piece: where they are cut is of no account."""
    made: list[Any] = []
    for event in events:
        if isinstance(event, ev.CopyData) and isinstance(made[-1], ev.CopyData):
            made[-1] = ev.CopyData(made[-1].data + event.data, made[-1].rows + event.rows)
        else:
            made.append(event)
    return made


@pytest.mark.parametrize(
    "options",
    [(), ("-C",), ("-c",), ("-c", "--if-exists"), ("-c", "-C"), ("--inserts",), ("--disable-triggers",)],
)
def test_reads_what_pg_dump_writes(postgres: PostgresServer, options: tuple[str, ...]) -> None:
    data = dump(postgres, *options)
    reader = PlainReader(pieces(data, 65536))
    events = list(reader.events())
    assert reader.marker
    assert reader.facts["encoding"] == "UTF8"
    assert reader.facts["server_version"].startswith(postgres.binaries.version.split(" ")[0])
    assert reader.database == (nasty_database(postgres) if "-C" in options else "")
    sections = [event.section for event in events if isinstance(event, ev.Sql)]
    assert sections == sorted(sections, key=["pre-data", "data", "post-data"].index)
    texts = statements(events)
    assert not [t for t in texts if t.startswith("DROP") or "DATABASE" in t.split("\n")[0][:20]]
    if "--inserts" not in options:
        assert sum(event.rows for event in events if isinstance(event, ev.CopyEnd)) == 1481
    kinds = {event.kind for event in events if isinstance(event, ev.Sql)}
    assert {
        "INDEX",
        "INDEX ATTACH",
        "CONSTRAINT",
        "FK CONSTRAINT",
        "TABLE ATTACH",
        "TRIGGER",
        "RULE",
    } <= kinds
    assert {"MATERIALIZED VIEW DATA", "STATISTICS", "POLICY", "EXTENSION", "SEQUENCE SET"} <= kinds


def test_clean_and_create_options_only_add_what_is_left_out(postgres: PostgresServer) -> None:
    wanted = read(dump(postgres))
    for options in (("-c", "--if-exists"), ("-c",)):
        assert statements(read(dump(postgres, *options))) == statements(wanted)
    assert rows(read(dump(postgres, "-c", "-C"))) == rows(wanted)


def test_the_sizes_of_the_pieces_change_nothing(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "CHUNK", 700)
    data = dump(postgres, "--exclude-schema=none", "-B")
    whole = read(data)
    longest_row = max(map(len, data.split(b"\n"))) + 1
    for size in (1, 7, 400, 699, 701, 4096):
        parted = read(*pieces(data, size))
        assert joined(parted) == joined(whole)
        chunks = [event.data for event in parted if isinstance(event, ev.CopyData)]
        assert all(chunk.endswith(b"\n") for chunk in chunks)
        assert len(chunks) > 50
        assert max(map(len, chunks)) <= max(700 * 3 // 2, 700 + longest_row)


def test_the_end_of_rows_is_found_wherever_a_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = joined(read(SMALL))
    for chunk in (8, 32, 64):
        monkeypatch.setattr(plain, "CHUNK", chunk)
        for size in range(1, 2 * chunk):
            assert joined(read(*pieces(SMALL, size))) == whole


def test_rows_that_look_like_the_end_are_rows() -> None:
    events = read(SMALL)
    (data,) = [event.data for event in events if isinstance(event, ev.CopyData)]
    assert data.count(b"\n") == 4
    assert [event.rows for event in events if isinstance(event, ev.CopyEnd)] == [4, 0]
    assert [e.optional for e in events if isinstance(e, ev.Sql) and "timeout" in e.text] == [True, True]
    assert [e.optional for e in events if isinstance(e, ev.Sql) and "encoding" in e.text] == [False]


def test_a_dump_cut_anywhere_is_an_error() -> None:
    whole = read(SMALL)
    assert read(SMALL.rstrip()) == whole, "a missing last line break is no cut"
    for size in range(len(SMALL.rstrip())):
        with pytest.raises(TruncatedError):
            read(SMALL[:size])


def test_says_where_a_dump_ends() -> None:
    with pytest.raises(TruncatedError, match=r"in the rows of table public\.t"):
        read(SMALL[: SMALL.index(b"DROP TABLE")])
    with pytest.raises(TruncatedError, match="CREATE TABLE public"):
        read(SMALL[: SMALL.index(b"a text")])


def test_windows_line_ends() -> None:
    events = read(SMALL.replace(b"\n", b"\r\n"))
    assert [event.rows for event in events if isinstance(event, ev.CopyEnd)] == [4, 0]


def test_other_encodings_keep_their_bytes() -> None:
    text = b"CREATE TABLE public.\"gr\xfc\xdfe\" (a text DEFAULT '\xe4;');"
    (sql,) = [e for e in read(b"SET client_encoding = 'LATIN1';\n" + text + b"\n" + END) if e.kind == "TABLE"]
    assert sql.raw == text


REFUSED = [
    (b"CREATE ROLE boss;", "role"),
    (b"ALTER USER boss PASSWORD 'x';", "role"),
    (b"DROP ROLE boss;", "role"),
    (b"GRANT boss TO clerk;", "member"),
    (b"CREATE TABLESPACE t LOCATION '/x';", "tablespace"),
    (b"ALTER SYSTEM SET fsync = off;", "whole server"),
    (b"DROP DATABASE live;\nCREATE TABLE t ();", "drops a database"),
    (b"ALTER DATABASE live SET work_mem = 1;", "another database"),
    (b"GRANT ALL ON DATABASE live TO clerk;", "another database"),
    (b"COPY t FROM '/etc/passwd';", "text format"),
    (b"COPY t FROM PROGRAM 'id';", "text format"),
    (b"COPY t FROM stdin WITH (FORMAT csv);", "text format"),
    (b"\\connect other", "another database"),
    (b"CREATE DATABASE a;\n\\connect a\n\\connect b", "pg_dumpall"),
    (b"CREATE DATABASE a;\nCREATE DATABASE b;", "more than one database"),
    (b"\\! id", "command for psql"),
    (b"\\i other.sql", "command for psql"),
    (b"\\unrestrict wrong", "command for psql"),
    (b"\\restrict a\n\\connect b", "command for psql"),
    (b"SET client_encoding = 'SJIS';", "encoding"),
    (b"-- PostgreSQL database cluster dump", "whole server"),
    (b"CREATE INDEX i ON t (a);\nCOPY t (a) FROM stdin;\n1\n\\.", "behind indexes"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[t.decode()[:30] for t, _ in REFUSED])
def test_refuses_by_name_what_acts_elsewhere(text: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why) as refused:
        read(b"SET a = 1;\n" + text + b"\n" + END)
    assert "line " in refused.value.on


def test_two_dumps_in_one_are_refused() -> None:
    with pytest.raises(RefusedError, match="two dumps"):
        read(SMALL + SMALL.replace(b"abc", b"def"))


def test_a_command_inside_a_statement_is_an_error() -> None:
    with pytest.raises(DumpError, match="backslash"):
        read(b"SELECT 1 \\gexec\n;\n" + END)


@pytest.mark.parametrize(
    ("text", "kind", "names", "creates"),
    [
        ("CREATE UNIQUE INDEX i ON ONLY a.b USING btree (c);", "INDEX", ("a.b",), "a.i"),
        ('CREATE INDEX "I ON x" ON "A; B"."C" (c);', "INDEX", ('"A; B"."C"',), '"A; B"."I ON x"'),
        ("ALTER TABLE ONLY a.b\n    ADD CONSTRAINT c PRIMARY KEY (d);", "CONSTRAINT", ("a.b",), "a.c"),
        ("ALTER TABLE ONLY a.b ADD CONSTRAINT c FOREIGN KEY (d) REFERENCES e.f(g) ON DELETE CASCADE;",
         "FK CONSTRAINT", ("a.b", "e.f"), ""),
        ("ALTER TABLE ONLY a.b ATTACH PARTITION a.c FOR VALUES IN (1);", "TABLE ATTACH", ("a.b", "a.c"), ""),
        ("ALTER INDEX a.b ATTACH PARTITION a.c;", "INDEX ATTACH", ("a.b", "a.c"), ""),
        ("CREATE TRIGGER t BEFORE INSERT OR UPDATE OF x ON a.b FOR EACH ROW EXECUTE FUNCTION a.c();",
         "TRIGGER", ("a.b",), ""),
        ("REFRESH MATERIALIZED VIEW a.b;", "MATERIALIZED VIEW DATA", ("a.b",), ""),
        ("CREATE STATISTICS a.s (dependencies) ON x, y FROM a.b;", "STATISTICS", ("a.b",), ""),
        ("GRANT SELECT ON TABLE a.b TO PUBLIC;", "ACL", ("a.b",), ""),
        ("ALTER TABLE a.b OWNER TO c;", "OWNER", ("a.b",), ""),
        ("CREATE UNLOGGED TABLE a.b (x int);", "TABLE", ("a.b",), ""),
        ("INSERT INTO a.b VALUES (1);", "INSERT", ("a.b",), ""),
    ],
)  # fmt: skip
def test_names_kind_and_tables(text: str, kind: str, names: tuple[str, ...], creates: str) -> None:
    meaning = classify(text)
    assert (meaning.kind, meaning.names, meaning.creates) == (kind, names, creates)
