"""A whole restore, undo and release against real servers, with dumps made by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import job_lock, job_undo
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_restore import Restore
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import Check, RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress
from hand_made import HandSource, chunks, copy, head, login_of, small_dump

from runbook.rehearsal.postgres_server import PostgresServer

RUN = "20261121t064300z-7f3a9c"


@pytest.fixture
def live(postgres: PostgresServer, database: str) -> str:
    """A live database with a table that no backup of these tests has."""
    postgres.execute("CREATE TABLE precious AS SELECT generate_series(1, 100) AS id", database=database)
    postgres.execute("CREATE TABLE t (id bigint, name text)", database=database)
    postgres.execute(f"""ALTER DATABASE "{database}" SET search_path = "$user", public, "my Schema" """)
    postgres.execute(f"""ALTER DATABASE "{database}" SET statement_timeout = '17s'""")
    postgres.execute(f'ALTER DATABASE "{database}" CONNECTION LIMIT 33')
    postgres.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
    postgres.execute(f'GRANT CONNECT ON DATABASE "{database}" TO pg_monitor WITH GRANT OPTION')
    postgres.execute(f"COMMENT ON DATABASE \"{database}\" IS 'it''s live'")
    return database


@pytest.fixture
def options(postgres: PostgresServer, live: str) -> RestoreOptions:
    login = login_of(postgres, application_name=f"oncall-{RUN}")
    return RestoreOptions(live, RUN, login, key="daily/x.sql.gz", etag="e1", who="me@laptop")


def restore(options: RestoreOptions, make: Callable[[], Iterator[ev.Event]] = small_dump) -> dict[str, Any]:
    return Restore(options, HandSource(make), Progress()).run()


def rows_of(server: PostgresServer, database: str, table: str = "t") -> int:
    return int(server.execute(f"SELECT count(*) FROM {table}", database=database)[0][0])


def ours(server: PostgresServer, database: str) -> list[str]:
    found = server.execute(
        "SELECT datname FROM pg_database WHERE datname LIKE %s AND datname <> %s", (database + "%", database)
    )
    return sorted(name for (name,) in found)


def outside(server: PostgresServer, database: str) -> list[Any]:
    """What a database is from outside, without our mark."""
    return server.execute(
        "SELECT pg_get_userbyid(datdba), datconnlimit, datcollate, encoding,"
        " (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),"
        " shobj_description(d.oid, 'pg_database'),"
        " (SELECT array_agg(o ORDER BY o) FROM pg_db_role_setting s, unnest(setconfig) o"
        "   WHERE setdatabase = d.oid AND o NOT LIKE 'oncall%%')"
        " FROM pg_database d WHERE datname = %s",
        (database,),
    )


def test_a_restore_that_is_stopped_at_its_last_moment_does_not_switch(
    postgres: PostgresServer, options: RestoreOptions
) -> None:
    def stop() -> None:
        assert stopped.forbid_switch()

    stopped = Restore(options, HandSource(), Progress(), hear=stop)
    with pytest.raises(OncallError, match="was stopped this moment"):
        stopped.run()
    assert ours(postgres, options.database) == []
    assert rows_of(postgres, options.database, "precious") == 100


def test_restore_undo_and_release(postgres: PostgresServer, options: RestoreOptions) -> None:
    live = options.database
    was = outside(postgres, live)
    planned = restore(replace(options, check_mode=True))
    assert ours(postgres, live) == []
    done = restore(options)
    assert done["changed"]
    assert done["diff"] == planned["diff"]
    assert {k: v for k, v in done["prediction"].items() if k != "free"} == {
        k: v for k, v in planned["prediction"].items() if k != "free"
    }
    assert done["tables"] == {"public.t": 1000}
    assert 0 < done["window_ms"] <= 2000
    assert rows_of(postgres, live) == 1000
    assert rows_of(postgres, options.before_name, "precious") == 100
    assert outside(postgres, live) == was
    again = restore(options)
    assert not again["changed"]
    assert "already" in again["msg"]
    assert options.run in again["msg"]
    assert again["prediction"]["summary"] == again["msg"]
    assert again["data_loss"] == {}

    undone = job_undo.undo(replace(options, check_mode=True))
    assert rows_of(postgres, live) == 1000
    assert job_undo.undo(options)["diff"] == undone["diff"]
    assert rows_of(postgres, live, "precious") == 100
    assert rows_of(postgres, options.after_name) == 1000
    assert outside(postgres, live) == was
    assert not job_undo.undo(options)["changed"]

    assert job_undo.release(replace(options, check_mode=True))["released"] == [options.after_name]
    assert ours(postgres, live) == [options.after_name]
    assert job_undo.release(options)["released"] == [options.after_name]
    assert ours(postgres, live) == []
    assert not job_undo.release(options)["changed"]
    assert rows_of(postgres, live, "precious") == 100


def test_check_mode_sends_no_write(postgres: PostgresServer, options: RestoreOptions) -> None:
    statements: list[str] = []
    login = options.login

    class ReadOnlyLogin(type(login)):  # type: ignore[misc]
        def connect(self, *args: Any, **more: Any) -> Any:
            connection = super().connect(*args, **more)
            with connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only = on")
            statements.append("connected")
            return connection

    guarded = ReadOnlyLogin(**{name: getattr(login, name) for name in login.__dataclass_fields__})
    planned = restore(replace(options, login=guarded, check_mode=True))
    assert planned["changed"]
    assert statements
    with pytest.raises((OncallError, psycopg2.Error)):  # the guard is one: it stops a real restore
        restore(replace(options, login=guarded))


def test_without_switch_it_stays_beside_and_is_taken_up_later(
    postgres: PostgresServer, options: RestoreOptions
) -> None:
    beside = restore(replace(options, switch=False))
    assert beside["changed"]
    assert ours(postgres, options.database) == [options.restored_name]
    assert rows_of(postgres, options.database, "precious") == 100
    assert not restore(replace(options, switch=False))["changed"]

    def never() -> Iterator[ev.Event]:
        pytest.fail("it was loaded again")
        yield

    done = restore(replace(options, run="other-run"), never)
    assert done["resumed"] == options.restored_name
    assert rows_of(postgres, options.database) == 1000


def bad_row() -> Iterator[ev.Event]:
    yield from head()
    yield from copy([*chunks(500), b"not a number\tx\n"])


def cut_off() -> Iterator[ev.Event]:
    yield from head()
    yield from copy(chunks(500))


def breaks() -> Iterator[ev.Event]:
    yield from head()
    yield ev.CopyStart("public.t", "", "COPY public.t FROM stdin;")
    yield ev.CopyData(b"1\tx\n", 1)
    raise OncallError("read the backup", got="the store cut the connection", kind="cut")


def duplicate() -> Iterator[ev.Event]:
    yield from list(small_dump())[:-2]
    yield from copy([b"1\tagain\n"])
    yield from list(small_dump())[-2:]


@pytest.mark.parametrize("make", [bad_row, cut_off, breaks, duplicate])
def test_a_failed_load_leaves_nothing_but_the_live_database(
    postgres: PostgresServer, options: RestoreOptions, make: Callable[[], Iterator[ev.Event]]
) -> None:
    with pytest.raises(OncallError):
        restore(options, make)
    assert ours(postgres, options.database) == []
    assert rows_of(postgres, options.database, "precious") == 100


def test_a_failed_check_is_named_and_can_be_kept(postgres: PostgresServer, options: RestoreOptions) -> None:
    failing = replace(options, checks=(Check("enough rows", "SELECT count(*) > 5000 FROM t"),))
    with pytest.raises(OncallError, match="enough rows: returned False"):
        restore(failing)
    assert ours(postgres, options.database) == []
    with pytest.raises(OncallError):
        restore(replace(failing, keep_failed=True))
    assert ours(postgres, options.database) == [options.restored_name]
    assert restore(replace(options, run="next-run"))["changed"]  # what was kept for inspection is left alone
    assert options.restored_name in ours(postgres, options.database)


def test_leftovers_of_a_killed_run_are_removed(postgres: PostgresServer, options: RestoreOptions) -> None:
    connection = postgres.connect()
    connection.autocommit = True
    for number, phase in enumerate(("loading", None)):
        run = f"dead-{number}"
        name = replace(options, run=run).restored_name
        postgres.execute(f'CREATE DATABASE "{name}"')
        if phase:
            marks.set_mark(connection, name, marks.Mark(run, options.database, "restore", phase))
    # Unmarked, but empty and of the very name this run takes: its maker died before it could mark it.
    connection.close()
    done = restore(replace(options, run="dead-1"))
    assert sorted(done["prediction"]["removes"]) == [
        replace(options, run=f"dead-{number}").restored_name for number in (0, 1)
    ]
    assert ours(postgres, options.database) == [replace(options, run="dead-1").before_name]


def test_a_name_that_a_stranger_has_is_refused(postgres: PostgresServer, options: RestoreOptions) -> None:
    postgres.execute(f'CREATE DATABASE "{options.restored_name}"')
    filler = "CREATE TABLE big AS SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i"
    postgres.execute(filler, database=options.restored_name)
    with pytest.raises(OncallError) as caught:
        restore(options)
    assert caught.value.kind == "name_taken"
    assert rows_of(postgres, options.restored_name, "big") == 20000


def test_two_operators_at_once(postgres: PostgresServer, options: RestoreOptions) -> None:
    holder = replace(options.login, application_name="oncall-first-run").connect()
    job_lock.acquire(holder, options.database)
    with pytest.raises(OncallError, match="run first-run as role postgres") as caught:
        restore(options)
    assert caught.value.kind == "locked"
    # A server that is busy hears late that a client was killed.
    threading.Timer(2.5, holder.close).start()
    assert restore(options)["changed"]


def test_switch_under_clients_that_reconnect(postgres: PostgresServer, options: RestoreOptions) -> None:
    stop, seen, wrong = threading.Event(), [], []

    def client() -> None:
        restored = False
        while not stop.is_set():
            try:
                connection = postgres.connect(options.database, connect_timeout=2)
                while not stop.is_set():
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT count(*) FROM t")
                        count = cursor.fetchone()[0]
                        restored = restored or count == 1000
                        seen.append(count)
                        if restored and count != 1000:
                            wrong.append(count)
                    connection.rollback()
                    time.sleep(0.01)
            except psycopg2.Error:
                time.sleep(0.005)

    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        done = restore(options)
        time.sleep(0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert done["sessions_ended"] >= 6
    assert done["window_ms"] < 1000
    assert 0 in seen
    assert 1000 in seen
    assert wrong == []


def test_a_switch_that_cannot_be_leaves_every_name(postgres: PostgresServer, options: RestoreOptions) -> None:
    def prepared_meanwhile() -> Iterator[ev.Event]:
        yield from list(small_dump())[:-1]
        # Something the first look could not see: a name taken while the load ran.
        postgres.execute(f'CREATE DATABASE "{options.before_name}"')
        yield from list(small_dump())[-1:]

    with pytest.raises(OncallError, match="already exists"):
        restore(options, prepared_meanwhile)
    assert rows_of(postgres, options.database, "precious") == 100
    assert ours(postgres, options.database) == [options.before_name]


def test_restore_where_the_live_database_is_gone(postgres: PostgresServer, options: RestoreOptions) -> None:
    postgres.execute(f'DROP DATABASE "{options.database}"')
    done = restore(options)
    assert rows_of(postgres, options.database) == 1000
    assert done["undo"]["reversible"] is False


def test_undo_refuses_what_it_did_not_do(postgres: PostgresServer, options: RestoreOptions) -> None:
    with pytest.raises(OncallError, match="not kept any more"):
        job_undo.undo(options)
    restore(options)
    restore(replace(options, run="second", key="other"))
    with pytest.raises(OncallError, match="run second restored it"):
        job_undo.undo(options)
    job_undo.undo(replace(options, run="second"))
    job_undo.undo(options)  # in reverse order both go
    assert rows_of(postgres, options.database, "precious") == 100


def test_dump_of_a_newer_server_is_refused_by_name(options: RestoreOptions) -> None:
    source = HandSource()
    source.header_is = replace(source.header_is, server_version="99.1")
    with pytest.raises(OncallError, match=r"load a dump of PostgreSQL 99\.1") as caught:
        Restore(options, source, Progress()).run()
    assert caught.value.kind == "newer_dump"


def test_no_room_is_said_before_anything_is_made(postgres: PostgresServer, options: RestoreOptions) -> None:
    with pytest.raises(OncallError, match="free disk first") as caught:
        Restore(options, HandSource(size=10**16), Progress()).run()
    assert caught.value.kind == "no_room"
    assert ours(postgres, options.database) == []


def test_data_loss_is_counted(postgres: PostgresServer, options: RestoreOptions) -> None:
    postgres.execute(
        'CREATE TABLE "my orders" AS SELECT i, now() - make_interval(hours => i) AS created_at,'
        " localtimestamp - make_interval(hours => i) AS updated_at FROM generate_series(1, 48) i",
        database=options.database,
    )
    loss = restore(replace(options, check_mode=True, backup_at=time.time() - 24.5 * 3600))["data_loss"]
    assert loss["live"] == "answers"
    assert loss["backup_age_s"] == pytest.approx(24.5 * 3600, abs=60)
    assert [(t["table"], t["rows_newer"]) for t in loss["tables"]] == [('"my orders"', 24)]


def test_names_with_sql_in_them(postgres: PostgresServer, options: RestoreOptions) -> None:
    hostile = options.database + "\"; DROP TABLE x; --'%s {}"
    postgres.execute(pg.statement("CREATE DATABASE {}", pg.ident(hostile)))
    try:
        hostile_options = replace(options, database=hostile)
        assert restore(hostile_options)["changed"]
        assert rows_of(postgres, hostile) == 1000
        job_undo.undo(hostile_options)
        job_undo.release(hostile_options)
    finally:
        for name in ours(postgres, options.database):
            postgres.execute(pg.statement("DROP DATABASE {}", pg.ident(name)))


def test_a_role_without_superuser_restores_what_it_owns(
    postgres: PostgresServer, options: RestoreOptions
) -> None:
    role = "r_" + options.database
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary-x' CREATEDB")
    own = options.database + "_own"
    try:
        postgres.execute(f"CREATE DATABASE {own} OWNER {role}")
        login = login_of(postgres, user=role, password="canary-x", application_name="oncall-x")
        plain = replace(options, database=own, login=login)
        with pytest.raises(OncallError, match="membership in pg_signal_backend"):
            restore(plain)
        postgres.execute(f"GRANT pg_signal_backend TO {role}")
        assert restore(plain)["changed"]
        assert not restore(plain)["changed"]
        assert job_undo.undo(plain)["changed"]
        job_undo.release(plain)
        assert ours(postgres, own) == []
    finally:
        for name in ours(postgres, options.database):
            postgres.execute(f'DROP DATABASE IF EXISTS "{name}"')
        postgres.execute(f"DROP ROLE {role}")
