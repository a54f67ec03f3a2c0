"""Each symptom on a real server gives its own finding."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from typing import Any

import psycopg2
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as postgres_util
from ansible_collections.oncall.runbooks.plugins.modules.postgres_health import run

from runbook.rehearsal.postgres_server import PostgresServer

Options = Callable[..., dict[str, Any]]


def measured(params: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the findings by check; a check that is measured twice would be hidden, so refuse it."""
    findings = run(params, check_mode=False)["findings"]
    by_check = {f["check"]: f for f in findings}
    assert len(by_check) == len(findings)
    return by_check


def test_a_healthy_server_is_ok_in_every_check_of_the_server(
    postgres: PostgresServer, database: str, options: Options
) -> None:
    postgres.execute("CREATE TABLE subscribers AS SELECT generate_series(1, 100) AS id", database=database)
    found = measured(options(postgres, database, expected_tables=["public.subscribers"]))
    server_checks = {c: f for c, f in found.items() if c.startswith("postgres_") and c != "postgres_log"}
    assert {c: f["status"] for c, f in server_checks.items()} == dict.fromkeys(
        [
            "postgres_runtime",
            "postgres_accepts",
            "postgres_answers",
            "postgres_writes",
            "postgres_connections",
            "postgres_replication",
            "postgres_checkpoint",
            "postgres_wal",
            "postgres_queries",
            "postgres_data",
        ],
        "ok",
    )
    assert found["postgres_data"]["observed"]["rows"] == {"public.subscribers": 100}
    assert {"data_disk", "data_inodes", "memory", "load", "postgres_log"} <= set(found)


def test_a_frozen_server_accepts_but_does_not_answer(own_server: PostgresServer, options: Options) -> None:
    os.kill(own_server.pid, signal.SIGSTOP)
    started = time.monotonic()
    found = measured(options(own_server, timeout=2.0))
    assert time.monotonic() - started < 10
    assert found["postgres_accepts"]["status"] == "ok"
    assert found["postgres_answers"]["status"] == "fail"
    assert found["postgres_answers"]["observed"]["kind"] == "timeout"
    assert found["postgres_runtime"]["observed"]["frozen"] is True
    assert found["postgres_runtime"]["status"] == "fail"
    assert found["postgres_data"]["status"] == "unknown"
    assert found["data_disk"]["status"] in ("ok", "warn")


def test_a_dead_server_is_told_from_a_frozen_one(own_server: PostgresServer, options: Options) -> None:
    own_server.stop("immediate")
    found = measured(options(own_server))
    assert [found[c]["status"] for c in ("postgres_runtime", "postgres_accepts", "postgres_answers")] == [
        "fail"
    ] * 3
    assert "refused" in found["postgres_accepts"]["summary"].lower()
    assert found["postgres_writes"]["status"] == "unknown"


def test_too_many_clients_is_a_failure_of_connections(own_server: PostgresServer, options: Options) -> None:
    with ExitStack() as stack:
        with suppress(psycopg2.OperationalError):
            for _ in range(20):
                stack.enter_context(closing(own_server.connect()))
        found = measured(options(own_server))
    assert found["postgres_connections"]["status"] == "fail"
    assert found["postgres_connections"]["observed"]["refused"] is True
    assert found["postgres_answers"]["observed"]["kind"] == "too_many_clients"


def test_a_read_only_database_does_not_write(
    postgres: PostgresServer, database: str, options: Options
) -> None:
    postgres.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    found = measured(options(postgres, database))
    assert found["postgres_writes"]["status"] == "fail"
    assert found["postgres_writes"]["observed"]["kind"] == "read_only"
    assert found["postgres_answers"]["status"] == "ok"


def test_missing_tables_are_named(postgres: PostgresServer, database: str, options: Options) -> None:
    found = measured(options(postgres, database, expected_tables=["subscribers", "app.Odd Name"]))
    assert found["postgres_data"]["status"] == "fail"
    assert found["postgres_data"]["observed"]["missing"] == ["app.Odd Name", "public.subscribers"]


def test_a_missing_database_is_a_failure_of_the_data_only(postgres: PostgresServer, options: Options) -> None:
    found = measured(options(postgres, "no_such_database"))
    assert found["postgres_answers"]["status"] == "ok"
    assert found["postgres_data"]["observed"] == {"missing_database": "no_such_database"}
    assert found["postgres_data"]["status"] == "fail"


def test_a_corrupt_page_is_found_by_reading(own_server: PostgresServer, options: Options) -> None:
    own_server.execute(
        "CREATE TABLE t AS SELECT i, repeat('x', 200) AS filler FROM generate_series(1, 2000) i"
    )
    own_server.execute("CREATE TABLE whole AS SELECT 1 AS one")
    (path,) = own_server.execute("SELECT pg_relation_filepath('t')")[0]
    own_server.execute("CHECKPOINT")
    own_server.stop("fast")
    with (own_server.data / path).open("r+b") as relation:
        # The header of the fourth page: seen with checksums and without.
        relation.seek(3 * 8192)
        relation.write(b"\xff" * 512)
    own_server.start()
    found = measured(options(own_server, expected_tables=["t", "whole"]))
    assert found["postgres_data"]["status"] == "fail"
    assert list(found["postgres_data"]["observed"]["damaged"]) == ["public.t"]
    assert "invalid page in block 3" in found["postgres_data"]["summary"]
    assert found["postgres_data"]["observed"]["rows"] == {"public.whole": 1}
    own_server.execute("SELECT 1")
    assert measured(options(own_server))["postgres_log"]["observed"]["worst"] == "corruption"


def test_blocked_sessions_are_counted_with_who_blocks(
    postgres: PostgresServer, database: str, options: Options
) -> None:
    postgres.execute("CREATE TABLE t (a int)", database=database)
    with (
        closing(postgres.connect(database)) as holder,
        closing(postgres.connect(database, async_=1)) as waiter,
    ):
        holder.cursor().execute("LOCK TABLE t")
        _settle(waiter)
        waiter.cursor().execute("SELECT * FROM t")
        limits = {**options(postgres)["thresholds"], "blocked_fail": 0.1}
        time.sleep(0.3)
        found = measured(options(postgres, database, thresholds=limits))
        assert found["postgres_connections"]["status"] == "fail"
        assert found["postgres_connections"]["details"][0]["blocked_by"] == [holder.info.backend_pid]
        # The table itself cannot be read while it is locked: that is unknown, and not damage.
        assert found["postgres_data"]["observed"]["not_read"] == ["public.t"]
        assert found["postgres_data"]["status"] == "unknown"


def _settle(connection: Any) -> None:
    from select import select

    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        waiting = [connection.fileno()]
        select(waiting if state == psycopg2.extensions.POLL_READ else [], waiting, [], 1)


def test_without_psycopg2_the_package_is_named_and_the_host_is_measured(
    postgres: PostgresServer, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_util, "psycopg2", None)
    found = measured(options(postgres))
    assert "python3-psycopg2" in found["postgres_answers"]["summary"]
    assert found["postgres_answers"]["status"] == "unknown"
    assert found["postgres_accepts"]["status"] == "ok"
    assert found["memory"]["status"] in ("ok", "warn", "fail")


def test_the_only_write_is_the_probe_that_is_rolled_back(
    postgres: PostgresServer, database: str, options: Options
) -> None:
    postgres.execute(f"ALTER DATABASE \"{database}\" SET log_statement = 'mod'")
    start = postgres.log.stat().st_size
    measured(options(postgres, database))
    with postgres.log.open("rb") as log:
        log.seek(start)
        sent = [line for line in log.read().decode().splitlines() if "statement:" in line]
    assert len(sent) == 1
    assert "CREATE TEMPORARY TABLE oncall_write_probe" in sent[0]


def test_the_password_is_in_no_finding(postgres: PostgresServer, options: Options) -> None:
    assert postgres.password not in str(run(options(postgres), check_mode=False))
    assert postgres.password not in str(run(options(postgres, login_user="nobody-known"), check_mode=False))
