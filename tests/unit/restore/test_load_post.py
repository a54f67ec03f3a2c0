"""Statements after the rows as tasks: what starts when, and foreign keys in two steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import load_post, verify
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load import Loader
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load_session import (
    Session,
    Sessions,
    session_settings,
    sort_memory,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.schedule import Claims, Scheduler, Task
from hand_made import END, chunks, copy, head, login_of, sql

from runbook.rehearsal.postgres_server import PostgresServer

KEY = "ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);"
GIN = "CREATE INDEX g ON public.t USING gin (id);"
FK = (
    'ALTER TABLE ONLY public.b\n    ADD CONSTRAINT "f k" FOREIGN KEY (id) REFERENCES public.t(id) '
    "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;"
)


@pytest.fixture
def sessions(postgres: PostgresServer, database: str) -> Iterator[Sessions]:
    made = Sessions(login_of(postgres), database, session_settings(None, 2))
    yield made
    made.close_all()


def primary_key() -> ev.Sql:
    return sql(KEY, ev.POST_DATA, "CONSTRAINT", names=("public.t",), creates="public.t_pkey")


def foreign_key(text: str = FK) -> ev.Sql:
    return sql(text, ev.POST_DATA, "FK CONSTRAINT", names=("public.b", "public.t"))


def index(name: str, columns: str, table: str = "public.t") -> ev.Sql:
    text = f"CREATE INDEX {name} ON {table} USING btree ({columns});"
    return sql(text, ev.POST_DATA, "INDEX", names=(table,), creates=f"public.{name}")


def two_tables(b: list[bytes]) -> list[ev.Event]:
    return [*head(), *head("public.b")[2:], *copy(chunks(1000)), *copy(b, "public.b")]


@pytest.mark.parametrize("index_jobs", [1, 4])
def test_a_foreign_key_in_two_steps_ends_as_the_dump_says(
    sessions: Sessions, postgres: PostgresServer, database: str, index_jobs: int
) -> None:
    events = [*two_tables([b"1\tx\n"]), primary_key(), foreign_key(), END]
    Loader(sessions, Progress(), index_jobs=index_jobs).load(iter(events))
    found = postgres.execute(
        "SELECT convalidated, condeferrable, condeferred, confdeltype FROM pg_constraint"
        " WHERE conname = 'f k'",
        database=database,
    )
    assert found == [(True, True, True, "c")]


def test_a_row_without_its_parent_ends_the_load(sessions: Sessions) -> None:
    events = [*two_tables([b"4711\tx\n"]), primary_key(), foreign_key(), END]
    with pytest.raises(OncallError) as caught:
        Loader(sessions, Progress(), index_jobs=4).load(iter(events))
    assert caught.value.kind == "bad_data"
    assert '"f k"' in caught.value.got


@pytest.mark.parametrize(
    "text",
    [
        FK.replace(" ONLY", ""),  # a partitioned table cannot have one that is not valid
        FK.replace(";", " NOT VALID;"),
    ],
)
def test_only_what_can_be_split_is_split(text: str) -> None:
    post = load_post.PostData({}, split=True)
    assert len(post.plan(foreign_key(text), ())) == 1
    assert post.unvalidated == ("NOT VALID" in text)


def test_two_foreign_keys_to_one_table_are_validated_side_by_side() -> None:
    post = load_post.PostData({}, split=True)
    one = post.plan(foreign_key(), ())
    text = FK.replace("public.b", "public.c")
    two = post.plan(sql(text, ev.POST_DATA, "FK CONSTRAINT", names=("public.c", "public.t")), ())
    both = [task.claims for task in (*one, *two)]
    assert both[1] == Claims(tended=frozenset({"public.b"}), read=frozenset({"public.t"}))
    assert [claims.referred for claims in both] == [{"public.t"}, set(), {"public.t"}, set()]
    assert not any(
        getattr(both[a], way) & getattr(both[b], other)
        for a, b in ((0, 2), (1, 3), (0, 3), (1, 2))
        for way, other in (("exclusive", "exclusive"), ("tended", "tended"))
    )


def test_the_wide_index_and_what_much_waits_for_start_first() -> None:
    rows = {"public.t": 1000, "public.b": 100}
    post = load_post.PostData(rows, split=True)
    post.widths["public.t"] = load_post.widths(
        '(id, "the hash")', b"".join(b"%d\t%s\n" % (n, b"x" * 64) for n in range(99))
    )
    events = [primary_key(), index("narrow", "id"), index("wide", '"the hash" DESC'), foreign_key()]
    tasks = {task.label: task for event in events for task in post.plan(event, ())}
    post.weigh()
    costs = {label: task.cost for label, task in tasks.items()}
    assert costs["public.t_pkey"] > costs["public.wide"] > 5 * costs["public.narrow"] > 0
    assert costs["FK CONSTRAINT public.b"] > 0


class Asked(Session):
    """A session that only remembers what it was asked for; it has 512 MB."""

    def __init__(self) -> None:
        super().__init__(None, 512 * 1024)
        self.asked: list[str] = []

    def execute(self, statement: bytes, tried: str, line: int = 0) -> int:
        self.asked.append(statement.decode())
        return 0


@pytest.mark.parametrize(
    ("statement", "rows", "granted"),
    [
        (index("small", "id"), 1000, 16 * 1024),
        # 57 bytes for each row: runs of the memory's size are merged at once, 264 kB for each of them.
        (index("large", "id"), 1 << 28, 62807),
        (index("vast", "id"), 1 << 40, 512 * 1024),
        (primary_key(), 1000, 16 * 1024),
        (sql(GIN, ev.POST_DATA, "INDEX", names=("public.t",), creates="public.g"), 1000, 512 * 1024),
        (foreign_key(), 1000, 512 * 1024),
    ],
)
def test_a_sort_is_given_what_one_merge_needs_and_everything_else_all_there_is(
    statement: ev.Sql, rows: int, granted: int
) -> None:
    post = load_post.PostData({"public.t": rows, "public.b": rows}, split=False)
    post.widths["public.t"] = {"id": 9.0}
    session = Asked()
    (task,) = post.plan(statement, ())
    task.run(session)
    assert session.asked == [f"SET maintenance_work_mem = '{granted}kB'", statement.text]


def test_a_sort_never_gets_more_than_its_session_has() -> None:
    assert sort_memory(1 << 40, 8 * 1024) == 8 * 1024


def test_widths_of_rows_that_are_cut_or_none() -> None:
    assert load_post.widths('(a, "b, c")', b"1\t333\n3\t55555\n7\tcut") == {"a": 1, '"b, c"': 4}
    assert load_post.widths("(a)", b"") == {}


def test_what_is_awaited_starts_only_when_it_is_there() -> None:
    ran: list[str] = []

    def task(name: str, claims: Claims) -> Task:
        return Task(lambda _session: ran.append(name), claims, 0, name)

    scheduler = Scheduler(2, object, lambda session: None)
    scheduler.await_names(["t", "u"])
    scheduler.add([task("t", Claims(shared=frozenset({"t"}))), task("v", Claims(exclusive=frozenset({"v"})))])
    scheduler.add([task("alone", Claims(barrier=True)), task("u", Claims(read=frozenset({"u"})))])
    deadline = time.monotonic() + 5
    while ran != ["v"] and time.monotonic() < deadline:
        time.sleep(0.01)
    scheduler.release("t")
    while ran != ["v", "t"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ran == ["v", "t"]
    scheduler.release()
    scheduler.finish()
    assert ran == ["v", "t", "alone", "u"]


def ahead(*statements: ev.Sql, tables: tuple[str, ...] = ("public.t", "public.b")) -> ev.Ahead:
    return ev.Ahead(statements, tables)


def test_an_index_is_built_while_other_rows_still_come(
    sessions: Sessions, postgres: PostgresServer, database: str
) -> None:
    seen: list[Any] = []

    def indexes() -> Any:
        return postgres.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid::regclass::text IN ('t', 'b') "
            "ORDER BY 1",
            database=database,
        )

    def events() -> Iterator[ev.Event]:
        yield from head()
        yield from head("public.b")[2:]
        settings = sql("SET default_tablespace = '';", ev.POST_DATA, "SET")
        yield ahead(settings, primary_key(), index("b_name", "name", "public.b"), foreign_key())
        yield from copy(chunks(1000))
        yield from list(copy([b"1\tx\n"], "public.b"))[:1]
        deadline = time.monotonic() + 10
        while not indexes() and time.monotonic() < deadline:
            time.sleep(0.02)
        seen.extend(indexes())
        yield from list(copy([b"1\tx\n"], "public.b"))[1:]
        yield END

    counts = verify.RowCounts()
    loaded = Loader(sessions, Progress(), index_jobs=4, follow=counts.tasks).load(events())
    assert seen == [("t_pkey",)]
    assert indexes() == [("b_name",), ("t_pkey",)]
    assert counts.check(loaded) == {"public.t": 1000, "public.b": 1}


def test_a_key_to_a_table_without_a_copy_of_its_own_waits_for_all_rows(sessions: Sessions) -> None:
    """The rows of a partitioned table come with those of its partitions."""

    def events() -> Iterator[ev.Event]:
        yield from head()[:2]
        yield sql("CREATE TABLE public.t (id bigint PRIMARY KEY, name text) PARTITION BY RANGE (id);")
        yield sql("CREATE TABLE public.t1 PARTITION OF public.t FOR VALUES FROM (0) TO (1000);")
        yield from head("public.b")[2:]
        yield ahead(foreign_key(), tables=("public.b", "public.t1"))
        yield from copy([b"1\tx\n"], "public.b")
        time.sleep(0.5)  # long enough for a key that does not wait
        yield from copy([b"1\tx\n"], "public.t1")
        yield END

    assert Loader(sessions, Progress(), index_jobs=4).load(events()).rows == 2


def test_an_index_that_fails_ends_a_load_that_still_goes_on(sessions: Sessions) -> None:
    def events() -> Iterator[ev.Event]:
        yield from head()
        yield ahead(index("bad", "no_such_column"), tables=("public.t",))
        yield from copy(chunks(10))
        for _ in range(1000):
            time.sleep(0.01)
            yield from copy([], "public.t")
        pytest.fail("the loader read on after an index had failed")

    with pytest.raises(OncallError, match="no_such_column"):
        Loader(sessions, Progress()).load(events())


def test_a_load_that_fails_does_not_wait_for_what_is_being_built(sessions: Sessions) -> None:
    slow = sql("SELECT pg_sleep(30);", ev.POST_DATA, "INDEX", names=("public.x",), creates="public.y")

    def sleeping() -> Iterator[ev.Event]:
        yield from head()
        yield ahead(slow, tables=())
        time.sleep(0.5)
        raise OncallError("read the backup", got="cut")

    began = time.monotonic()
    with pytest.raises(OncallError, match="cut"):
        Loader(sessions, Progress()).load(sleeping())
    assert time.monotonic() - began < 10


def test_a_table_whose_rows_the_server_drops_is_an_error(
    sessions: Sessions, postgres: PostgresServer, database: str
) -> None:
    def events() -> Iterator[ev.Event]:
        yield from head()
        yield sql("CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';")
        yield sql("CREATE TRIGGER no BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();")
        yield from copy(chunks(10))
        yield END

    with pytest.raises(OncallError, match="500 rows were sent but the server stored 0"):
        Loader(sessions, Progress()).load(events())
