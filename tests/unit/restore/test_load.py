"""The loader against real servers, fed with events made by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import verify
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load import Loaded, Loader
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_session import (
    Sessions,
    session_settings,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.schedule import Scheduler
from hand_made import END, chunks, copy, head, login_of, sql

from runbook.rehearsal.postgres_server import PostgresServer


@pytest.fixture
def sessions(postgres: PostgresServer, database: str) -> Iterator[Sessions]:
    made = Sessions(login_of(postgres), database, session_settings(None, 2))
    yield made
    made.close_all()


def counted(sessions: Sessions, loaded: Loaded) -> dict[str, int]:
    counts = verify.RowCounts()
    Scheduler(2, sessions.open, sessions.close).run(counts.tasks(loaded))
    return counts.check(loaded)


def load(sessions: Sessions, events: list[ev.Event], jobs: int = 2) -> Loaded:
    return Loader(sessions, Progress(), jobs=jobs).load(iter(events))


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_rows_indexes_and_constraints_come_in(
    sessions: Sessions, postgres: PostgresServer, database: str, jobs: int
) -> None:
    events = [
        *head(),
        *head('public."o rder"')[2:],
        *copy(chunks(20_000)),
        *copy([b"1\tx\n"], 'public."o rder"'),
        sql("SET default_tablespace = '';", ev.POST_DATA, "SET"),
        sql(
            "ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);",
            ev.POST_DATA,
            "CONSTRAINT",
            names=("public.t",),
            creates="public.t_pkey",
        ),
        sql(
            "CREATE INDEX t_name ON public.t USING btree (name);",
            ev.POST_DATA,
            "INDEX",
            names=("public.t",),
            creates="public.t_name",
        ),
        sql("COMMENT ON INDEX public.t_name IS 'by name';", ev.POST_DATA, "COMMENT"),
        sql(
            'ALTER TABLE ONLY public."o rder" ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES public.t(id);',
            ev.POST_DATA,
            "FK CONSTRAINT",
            names=('public."o rder"', "public.t"),
        ),
        END,
    ]
    loaded = load(sessions, events, jobs)
    assert loaded.tables == {"public.t": 20_000, 'public."o rder"': 1}
    assert loaded.created == ["public.t", 'public."o rder"']
    assert counted(sessions, loaded) == loaded.tables
    session = sessions.open()
    verify.check_integrity(session.connection, loaded)
    assert postgres.execute("SELECT sum(id), count(distinct name) FROM t", database=database) == [
        (sum(range(20_000)), 20_000)
    ]
    assert postgres.execute("SELECT obj_description('t_name'::regclass)", database=database) == [("by name",)]
    assert postgres.execute("SELECT reltuples FROM pg_class WHERE relname = 't'", database=database) == [
        (20_000.0,)
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_row_is_named_by_table_and_row_without_its_content(sessions: Sessions, jobs: int) -> None:
    rows = chunks(5_000)
    rows[7] = rows[7].replace(b"3777\t", b"canary-secret\t")
    with pytest.raises(OncallError) as caught:
        load(sessions, [*head(), *copy(rows), END], jobs)
    assert caught.value.kind == "bad_data"
    assert "table public.t, row 3778 of its COPY (line 3788 of the dump)" in caught.value.on


def test_rows_after_the_error_are_not_waited_for(sessions: Sessions) -> None:
    def events() -> Iterator[ev.Event]:
        yield from head()
        yield ev.CopyStart("public.t", "", "COPY public.t FROM stdin;")
        yield ev.CopyData(b"not a number\tx\n", 1)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            yield ev.CopyData(b"1\tx\n" * 1000, 1000)
        pytest.fail("the loader read on after the server had refused a row")

    with pytest.raises(OncallError):
        Loader(sessions, Progress(), jobs=2).load(events())


@pytest.mark.parametrize(
    ("statement", "kind", "says"),
    [
        ("ALTER TABLE public.t OWNER TO nobody_here;", "missing_role", 'CREATE ROLE "nobody_here"'),
        ("CREATE EXTENSION postgis_x;", "missing_extension", "install the extension postgis_x"),
        ("CREATE TABLE public.x (a int) TABLESPACE fast;", "missing_tablespace", "tablespace fast"),
        ("CREATE TABLE public.t (a int);", "refused_statement", "repair what the message names"),
    ],
)
def test_what_the_server_lacks_is_named_with_the_way_out(
    sessions: Sessions, statement: str, kind: str, says: str
) -> None:
    with pytest.raises(OncallError) as caught:
        load(sessions, [*head(), sql(statement, line=42), END])
    assert caught.value.kind == kind
    assert says in caught.value.next_step
    assert "line 42 of the dump" in caught.value.on


def test_a_dump_without_its_end_is_never_a_success(sessions: Sessions) -> None:
    with pytest.raises(OncallError, match="stopped without its end"):
        load(sessions, [*head(), *copy([b"1\tx\n"])])


def test_only_an_optional_setting_may_be_unknown(sessions: Sessions) -> None:
    loaded = load(sessions, [sql("SET future_timeout = 0;", kind="SET", optional=True), *head(), END])
    assert loaded.warnings == ["the server does not know the setting future_timeout: left out"]
    with pytest.raises(OncallError, match="future_timeout"):
        load(sessions, [sql("SET future_timeout = 0;", kind="SET"), END])


def test_drops_of_a_clean_dump_are_harmless_in_an_empty_database(sessions: Sessions) -> None:
    drops = [
        sql("ALTER TABLE ONLY public.t DROP CONSTRAINT t_pkey;"),
        sql("DROP TABLE public.t;"),
        sql("CREATE SCHEMA public;"),
    ]
    assert load(sessions, [*drops, *head(), *copy([b"1\tx\n"]), END]).tables == {"public.t": 1}


def test_rows_as_inserts_large_objects_and_transactions_of_the_dump(
    sessions: Sessions, postgres: PostgresServer, database: str
) -> None:
    events = [
        *head(),
        sql("INSERT INTO public.t VALUES (1, 'a'), (2, '%s');", ev.DATA, "INSERT", names=("public.t",)),
        sql("SELECT pg_catalog.lo_create('4711');", ev.DATA, "LARGE OBJECT"),
        sql("BEGIN;", ev.DATA, "TRANSACTION"),
        ev.LargeObject(4711, b"\x00\xff" * 1000, first=True, last=False),
        ev.LargeObject(4711, b"end", first=False, last=True),
        sql("COMMIT;", ev.DATA, "TRANSACTION"),
        END,
    ]
    loaded = load(sessions, events)
    assert (loaded.tables, loaded.large_objects) == ({"public.t": 2}, 1)
    content = postgres.execute("SELECT lo_get(4711)", database=database)[0][0]
    assert bytes(content) == b"\x00\xff" * 1000 + b"end"


def test_missing_and_extra_rows_are_found(
    sessions: Sessions, postgres: PostgresServer, database: str
) -> None:
    loaded = load(sessions, [*head(), *copy([b"1\tx\n2\ty\n"]), END])
    postgres.execute("DELETE FROM t WHERE id = 2", database=database)
    with pytest.raises(OncallError, match=r"public\.t has 1 rows, the backup 2"):
        counted(sessions, loaded)
    postgres.execute("DROP TABLE t", database=database)
    with pytest.raises(OncallError, match=r"find table public\.t"):
        counted(sessions, loaded)


def test_an_unvalidated_constraint_is_refused_unless_the_dump_says_so(
    sessions: Sessions, postgres: PostgresServer, database: str
) -> None:
    loaded = load(sessions, [*head(), *copy([b"1\tx\n"]), END])
    postgres.execute("ALTER TABLE t ADD CONSTRAINT big CHECK (id > 5) NOT VALID", database=database)
    session = sessions.open()
    with pytest.raises(OncallError, match="big on"):
        verify.check_integrity(session.connection, loaded)
    loaded.unvalidated = 1
    verify.check_integrity(session.connection, loaded)


def test_checks_must_return_exactly_true(sessions: Sessions) -> None:
    session = sessions.open()
    good = verify.Check("one", "SELECT true")
    assert verify.run_checks(session.connection, [good]) == [{"name": "one", "ok": True, "got": "true"}]
    for bad in ("SELECT false", "SELECT 1", "SELECT true WHERE false", "SELEC", "CREATE TABLE x ()"):
        with pytest.raises(OncallError, match="second: "):
            verify.run_checks(session.connection, [good, verify.Check("second", bad)])
