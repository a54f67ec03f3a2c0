"""Others at work beside a revocation: issuers, holders of locks, a second operator, a kill at any moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils import batches
from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import ledger_database
from owl_tokens import ACTIVE, API, REFRESH, Owl

ROOT = Path(__file__).resolve().parents[3]
ISSUE = "INSERT INTO api_tokens (subscriber_id, created_at) VALUES (1, now())"


def slow_down(owl: Owl, seconds: float) -> None:
    """Make every row that is changed take so long."""
    owl.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END';"
        "CREATE TRIGGER slow BEFORE UPDATE ON api_tokens FOR EACH ROW EXECUTE FUNCTION slow()"
    )


@contextmanager
def issuing(owl: Owl, pause: float) -> Iterator[list[float]]:
    """Issue a token every few milliseconds until the block ends; yield how long each took."""
    ended, waits = threading.Event(), []

    def issue() -> None:
        with closing(owl.server.connect(owl.database)) as connection:
            connection.autocommit = True
            while not ended.wait(pause):
                began = time.monotonic()
                connection.cursor().execute(
                    "INSERT INTO api_tokens (subscriber_id, created_at) VALUES (1, now())"
                )
                waits.append(time.monotonic() - began)

    thread = threading.Thread(target=issue)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join()


def test_tokens_that_are_issued_meanwhile_are_revoked_too(owl: Owl) -> None:
    with issuing(owl, 0.001) as waits:
        time.sleep(0.05)
        done = owl.revoke(max_passes=25)
        at_the_end = len(waits)
    assert done["tables"][0]["revoked"] > 240
    assert at_the_end > 5
    left = owl.sql("SELECT count(*), min(id) > max(%s) FROM api_tokens WHERE revoked_at IS NULL", (300,))
    # What is active now was issued after the last look.
    assert left[0][0] <= len(waits) - at_the_end + 30


def test_a_lock_ends_a_race_that_passes_would_lose(owl: Owl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each look another token is issued: without the lock no pass would find nothing."""
    from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import sweep

    look = sweep.Sweeper._look

    def issue_then_look(self: Any, session: Any, *rest: Any) -> Any:
        try:
            owl.sql("SET lock_timeout = 50; " + ISSUE)
        except psycopg2.errors.LockNotAvailable:
            refused.append(session)
        return look(self, session, *rest)

    refused: list[Any] = []
    monkeypatch.setattr(sweep.Sweeper, "_look", issue_then_look)
    done = owl.revoke(max_passes=5)
    assert refused  # in vain, while the last look was taken
    assert owl.sql(ACTIVE) == [(0,)]
    assert done["findings"][0]["status"] == "ok"
    monkeypatch.setattr(sweep.Sweeper, "_close", lambda _self: False)
    owl.sql(ISSUE)
    with pytest.raises(VerificationError, match=r"after 5 passes still active: new ones in every pass"):
        owl.revoke(run="run-2", max_passes=5)


def test_a_row_that_somebody_holds_is_left_for_later_and_waited_for(owl: Owl) -> None:
    with closing(owl.server.connect(owl.database)) as holder:
        holder.cursor().execute("SELECT 1 FROM api_tokens WHERE id IN (9, 151) FOR UPDATE")
        release = threading.Timer(0.6, holder.rollback)
        release.start()
        done = owl.revoke(max_wait_ms=100)
        release.join()
    assert done["passes"] > 2
    assert done["tables"][0]["revoked"] == 240
    assert owl.sql(ACTIVE) == [(0,)]


def test_a_row_that_is_held_for_good_is_a_failure_with_its_number(owl: Owl) -> None:
    with closing(owl.server.connect(owl.database)) as holder:
        holder.cursor().execute("SELECT 1 FROM api_tokens WHERE id IN (9, 151) FOR UPDATE")
        with pytest.raises(
            VerificationError, match=r"still active: 2 in public.api_tokens; 238 were"
        ) as caught:
            owl.revoke(max_wait_ms=100, max_passes=3)
    assert caught.value.changed
    assert "run again with run: run-1" in caught.value.next_step
    assert owl.revoke()["ledger"]["rows"] == 240


def test_a_trigger_that_keeps_a_token_active_is_not_success(owl: Owl) -> None:
    owl.sql(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE UPDATE ON api_tokens FOR EACH ROW"
        " WHEN (OLD.id = 6) EXECUTE FUNCTION keep()"
    )
    with pytest.raises(VerificationError, match=r"1 in public\.api_tokens"):
        owl.revoke(max_passes=3)


def test_two_operators_at_once_revoke_each_token_once(owl: Owl) -> None:
    results: dict[str, Any] = {}

    def operate(run: str) -> None:
        results[run] = owl.revoke(run=run, tables=[API, REFRESH], batch=5, max_passes=25)

    threads = [threading.Thread(target=operate, args=(run,)) for run in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done["ledger"]["rows"] for done in results.values()) == 280
    assert owl.sql("SELECT count(*) FROM (SELECT DISTINCT place, unnest(keys[1:1]) FROM oncall.token_batch"
                   " WHERE place = 'public.api_tokens') x") == [(240,)]  # fmt: skip
    assert owl.sql(ACTIVE) == [(0,)]
    for run in [run for run, done in results.items() if done["changed"]]:
        owl.undo(run)
    assert owl.sql(ACTIVE) == [(240,)]


def test_the_same_run_is_not_worked_on_twice_at_once(owl: Owl) -> None:
    with (
        closing(owl.server.connect(owl.database)) as one,
        closing(owl.server.connect(owl.database)) as other,
        batches.only_one(one, "run-1", "revoke tokens"),
        pytest.raises(ConflictError, match="somebody else works on the same run"),
        batches.only_one(other, "run-1", "revoke tokens", patience=0.2),
    ):
        pytest.fail("both got it")


@pytest.mark.parametrize("may", [True, False])
def test_pages_are_packed_where_the_user_may_decide(owl: Owl, *, may: bool) -> None:
    login = {"user": owl.server.superuser, "password": owl.server.password}
    if not may:
        weak = owl.role("GRANT SELECT ON api_tokens TO ROLE")
        login = {"user": weak["login_user"], "password": weak["login_password"]}
    writer = batches.write_session(
        pg.Login(host="127.0.0.1", port=owl.server.port, **login),
        owl.database, 100, what="revoke tokens", wait_for_disk=True,
    )  # fmt: skip
    with closing(writer):
        assert (pg.value(writer, "SHOW wal_compression") == "off") is not may
    assert owl.sql("SHOW wal_compression") == [("off",)]  # of nobody else


def test_a_killed_run_goes_on_where_it_ended(owl: Owl, tmp_path: Path) -> None:
    """A process is killed after a few batches; the ledger knows what it did, the same run does the rest."""
    before = owl.state()
    slow_down(owl, 0.005)
    code = (
        "import json, sys\n"
        "from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.revoke import work_tokens\n"
        "work_tokens(json.load(sys.stdin), check_mode=False)\n"
    )
    import json

    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT / "collections")}
    child = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path, env=environment)
    assert child.stdin
    child.stdin.write(json.dumps(owl.options(tables=[API, REFRESH])).encode())
    child.stdin.close()
    deadline = time.monotonic() + 20
    while owl.sql(ACTIVE)[0][0] > 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    left = owl.sql(ACTIVE)[0][0]
    assert 0 < left < 240
    owl.sql("DROP TRIGGER slow ON api_tokens")
    done = owl.revoke(tables=[API, REFRESH])
    assert 0 < done["tables"][0]["revoked"] <= left
    assert done["ledger"]["rows"] == 280
    owl.undo()
    assert owl.state() == before


@pytest.mark.parametrize("moment", ["begin", "finish"])
def test_a_connection_that_breaks_says_how_to_go_on(
    owl: Owl, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    real = getattr(ledger_database.DatabaseLedger, moment)

    def cut(self: Any, writer: Any, *rest: Any) -> Any:
        owl.sql("SELECT pg_terminate_backend(%s)", (writer.get_backend_pid(),))
        return real(self, writer, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(ledger_database.DatabaseLedger, moment, cut)
        with pytest.raises(OncallError, match="run again with run: run-1") as caught:
            owl.revoke()
    assert (caught.value.kind, caught.value.changed) == ("connection_lost", moment == "finish")
    assert owl.revoke()["ledger"]["rows"] == 240
    assert owl.sql(ACTIVE) == [(0,)]


def test_a_table_that_is_locked_whole_is_said_and_can_be_tried_again(owl: Owl) -> None:
    with closing(owl.server.connect(owl.database)) as holder:
        holder.cursor().execute("LOCK TABLE api_tokens IN SHARE MODE")
        with pytest.raises(OncallError, match=r"active: 240 in public\.api_tokens") as caught:
            owl.revoke(max_wait_ms=25, max_passes=2, batch=200)
    assert caught.value.changed is False
    assert owl.revoke()["ledger"]["rows"] == 240


def test_a_revocation_that_failed_halfway_says_how_it_is_taken_back(owl: Owl) -> None:
    with closing(owl.server.connect(owl.database)) as holder:
        holder.cursor().execute('LOCK TABLE "Owl Nest"."Refresh %s" IN SHARE MODE')
        with pytest.raises(OncallError) as caught:
            owl.revoke(max_wait_ms=25, max_passes=2, tables=[API, REFRESH])
    assert caught.value.changed
    assert caught.value.undo is not None
    assert owl.sql(ACTIVE) == [(0,)]
    owl.undo(caught.value.undo["args"]["run"])
    assert owl.sql(ACTIVE) == [(240,)]


def test_no_transaction_lasts_longer_than_the_bound(owl: Owl) -> None:
    """Rows that take 4 ms each: batches shrink until they fit into 100 ms, and nothing is lost on the way."""
    slow_down(owl, 0.002)
    done = owl.revoke(batch=200, max_wait_ms=150)
    assert done["ledger"]["rows"] == 240
    assert done["transactions"] > 3
    assert owl.sql("SELECT max(rows) FROM oncall.token_batch")[0][0] < 100
