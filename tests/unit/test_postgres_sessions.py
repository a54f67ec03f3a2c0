"""Sessions on a real server: the right ones end, the others stay, and check mode ends none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.queries import measure_queries
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.sessions import end_sessions
from runbook_engine.plan_digest import comparable

from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.processes import wait_until


@contextmanager
def client(
    server: PostgresServer, database: str, application: str, *, transaction: bool = False
) -> Iterator[Any]:
    """A client session, idle or idle in a transaction."""
    with closing(server.connect(database, application_name=application)) as connection:
        connection.autocommit = not transaction
        connection.cursor().execute("SELECT 1")
        yield connection


def alive(connection: Any) -> bool:
    """Whether the session still answers."""
    try:
        connection.cursor().execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


def options(server: PostgresServer, database: str, **changed: Any) -> dict[str, Any]:
    """Return the module's parameters, nothing selected."""
    return {
        "login_host": "127.0.0.1",
        "login_port": server.port,
        "login_user": server.superuser,
        "login_password": server.password,
        "maintenance_db": "postgres",
        "database": database,
        "all_databases": False,
        "idle_for": None,
        "idle_in_transaction_for": None,
        "query_for": None,
        "blocking": False,
        "role": None,
        "application": None,
        "include_superusers": True,
        "grace": 3.0,
        **changed,
    }


def test_only_what_was_selected_ends(postgres: PostgresServer, database: str) -> None:
    with (
        client(postgres, database, "app", transaction=True) as stuck,
        client(postgres, database, "app") as idle,
        client(postgres, "postgres", "app", transaction=True) as elsewhere,
        client(postgres, database, "oncall-20261121t064300z-7f3a9c", transaction=True) as ours,
    ):
        time.sleep(0.2)
        params = options(postgres, database, idle_in_transaction_for=0.1)
        planned = end_sessions(params, check_mode=True)
        assert alive(stuck)
        time.sleep(0.2)
        done = end_sessions(params, check_mode=False)
        assert [s["pid"] for s in planned["sessions"]] == [s["pid"] for s in done["sessions"]]
        assert [alive(c) for c in (stuck, idle, elsewhere, ours)] == [False, True, True, True]
    assert done["undo"]["reversible"] is False
    assert end_sessions(params, check_mode=False)["changed"] is False


def test_a_running_query_is_cancelled_before_the_session_is_terminated(
    postgres: PostgresServer, database: str
) -> None:
    with client(postgres, database, "slow") as session:
        session.autocommit = True
        import threading

        errors: list[Exception] = []

        def query() -> None:
            try:
                session.cursor().execute("SELECT pg_sleep(30)")
            except psycopg2.Error as error:
                errors.append(error)

        thread = threading.Thread(target=query)
        thread.start()
        time.sleep(0.4)
        done = end_sessions(options(postgres, database, query_for=0.2), check_mode=False)
        thread.join(5)
        assert done["steps"][0] == "cancelled"
        assert errors


def test_who_blocks_others_is_found(postgres: PostgresServer, database: str) -> None:
    postgres.execute("CREATE TABLE t (a int)", database=database)
    with (
        client(postgres, database, "holder", transaction=True) as holder,
        client(postgres, database, "waiter") as waiter,
    ):
        import threading

        holder.cursor().execute("LOCK TABLE t")
        waiter.autocommit = True
        thread = threading.Thread(target=lambda: waiter.cursor().execute("SELECT * FROM t"))
        thread.start()
        time.sleep(0.3)
        done = end_sessions(options(postgres, database, blocking=True), check_mode=False)
        thread.join(5)
        assert [s["application"] for s in done["sessions"]] == ["holder"]
        assert (alive(holder), alive(waiter)) == (False, True)


def test_superusers_stay_unless_asked(postgres: PostgresServer, database: str) -> None:
    with client(postgres, database, "maintenance", transaction=True) as session:
        params = options(postgres, database, idle_in_transaction_for=0.0, include_superusers=False)
        assert end_sessions(params, check_mode=False)["changed"] is False
        assert alive(session)


def test_without_a_selector_nothing_is_tried(postgres: PostgresServer, database: str) -> None:
    with pytest.raises(UsageError, match="every session would match"):
        end_sessions(options(postgres, database), check_mode=False)


def test_a_role_that_may_not_says_what_to_grant(postgres: PostgresServer, database: str) -> None:
    role = f"weak_{database}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary-weak'")
    try:
        with client(postgres, database, "app", transaction=True) as session:
            params = options(
                postgres, database, application="app", login_user=role, login_password="canary-weak"
            )
            with pytest.raises(DeniedError, match="pg_signal_backend"):
                end_sessions(params, check_mode=False)
            assert alive(session)
    finally:
        postgres.execute(f"DROP ROLE {role}")


def test_check_mode_sends_no_signal(postgres: PostgresServer, database: str) -> None:
    postgres.execute("ALTER SYSTEM SET log_statement = 'all'")
    postgres.execute("SELECT pg_reload_conf()")
    time.sleep(0.2)
    start = postgres.log.stat().st_size
    try:
        with client(postgres, database, "app", transaction=True):
            end_sessions(options(postgres, database, application="app"), check_mode=True)
    finally:
        postgres.execute("ALTER SYSTEM RESET log_statement")
        postgres.execute("SELECT pg_reload_conf()")
    sent = postgres.log.read_bytes()[start:].decode()
    assert "FROM pg_stat_activity" in sent
    assert "pg_cancel_backend" not in sent
    assert "pg_terminate_backend" not in sent


@contextmanager
def busy(server: PostgresServer, database: str, application: str) -> Iterator[list[str]]:
    """A session whose query runs for a minute; the list has the code of its error as soon as it has one."""
    said: list[str] = []
    with closing(server.connect(database, application_name=application)) as connection:

        def ask() -> None:
            try:
                connection.cursor().execute("SELECT pg_sleep(60)")
            except psycopg2.Error as error:
                said.append(error.pgcode or "gone")

        thread = threading.Thread(target=ask)
        thread.start()
        yield said
        connection.cancel()
        thread.join(5)


def ages(server: PostgresServer, application: str) -> list[str]:
    """Return the states of the sessions of an application."""
    asked = "SELECT state FROM pg_stat_activity WHERE application_name = %s"
    return [state for (state,) in server.execute(asked, (application,))]


def test_a_query_is_cancelled_and_its_session_stays(postgres: PostgresServer, database: str) -> None:
    with busy(postgres, database, "report") as report, busy(postgres, database, "pg_dump"):
        time.sleep(0.3)
        asked = options(postgres, database, state="cancelled", query_for=0.2, except_applications=["pg_dump"])
        planned = end_sessions(asked, check_mode=True)
        assert ages(postgres, "report") == ["active"]
        done = end_sessions(asked, check_mode=False)
        # How long a query has run is another number by then: a plan is compared as the gate compares it.
        assert comparable(planned["diff"], "run-1") == comparable(done["diff"], "run-1")
        assert done["steps"] == ["cancelled"]
        assert [one["application"] for one in done["sessions"]] == ["report"]
        wait_until(lambda: bool(report), timeout=5, what="the error of the query")
        assert report == ["57014"]
        assert ages(postgres, "report") != ["active"]
        assert ages(postgres, "pg_dump") == ["active"]


def test_long_queries_are_found_and_a_dump_is_none(postgres: PostgresServer, database: str) -> None:
    limits = {"query_warn": 0.1, "query_fail": 0.2}
    with closing(postgres.connect(database)) as session:
        # What a transaction has once seen of others, it goes on to see.
        session.autocommit = True
        with busy(postgres, database, "pg_dump"):
            time.sleep(0.3)
            found = measure_queries(session, limits)
            assert (found["status"], "makes a backup" in found["summary"]) == ("ok", True)
        with busy(postgres, database, "report"):
            time.sleep(0.3)
            found = measure_queries(session, limits)
            assert (found["status"], found["observed"]["longest"][0]["application"]) == ("fail", "report")
