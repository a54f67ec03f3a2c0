"""Jobs, dead letters and the scheduler's lock in a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import lock
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.look import look
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.probe import probe
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.replay import replay
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.settle import wait_until

from runbook.rehearsal.postgres_server import PostgresServer

_SCHEMA = """
CREATE SCHEMA ops;
CREATE TABLE ops.beats (job text PRIMARY KEY, beat_at timestamptz, interval_s int);
CREATE TABLE ops.jobs (id bigserial PRIMARY KEY, kind text, payload text, idempotency_key text,
                       enqueued_at timestamptz, taken_at timestamptz, done_at timestamptz);
CREATE UNIQUE INDEX jobs_once ON ops.jobs (idempotency_key);
CREATE TABLE ops.dead (id bigserial PRIMARY KEY, kind text, payload text, idempotency_key text, error text,
                       failed_at timestamptz, expires_at timestamptz, replayed_at timestamptz);
CREATE TABLE ops.locks (name text PRIMARY KEY, owner text, beat_at timestamptz);
INSERT INTO ops.beats VALUES ('reminders', now(), 60), ('invoices', now() - interval '1 hour', 60);
INSERT INTO ops.jobs (kind, payload, idempotency_key, enqueued_at) VALUES
  ('mail', '{}', 'q1', now() - interval '20 min');
INSERT INTO ops.dead (kind, payload, idempotency_key, error, failed_at, expires_at) VALUES
  ('receipt', '{"to": 1}', 'r1', 'provider timed out', now() - interval '3 h', NULL),
  ('receipt', '{"to": 2}', 'r2', 'provider timed out', now() - interval '2 h', NULL),
  ('receipt', '{"to": 3}', 'q1', 'provider timed out', now() - interval '1 h', NULL),
  ('otp', '{"to": 4}', 'o1', 'provider timed out', now() - interval '1 h', now() - interval '50 min'),
  ('receipt', 'no json', 'r5', 'provider timed out', now() - interval '1 h', NULL),
  ('receipt', '{"to": 6}', NULL, 'provider timed out', now() - interval '1 h', NULL),
  ('receipt', '{"to": 7}', 'r7', 'provider timed out', now() - interval '30 h', NULL),
  ('import', '{"to": 8}', 'i1', 'bad row', now() - interval '1 h', NULL);
INSERT INTO ops.locks VALUES ('scheduler', 'worker-1', now() - interval '10 min'), ('free', NULL, NULL);
"""


class Jobs:
    """The modules' work over the tables of one database."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server, self.database = server, database

    def sql(self, statement: str) -> Any:
        return self.server.execute(statement, database=self.database)

    def params(self, **changes: Any) -> dict[str, Any]:
        columns = {
            "heartbeats": ("ops.beats", "job beat_at interval:interval_s"),
            "queue": ("ops.jobs", "kind payload key:idempotency_key enqueued_at taken_at done_at"),
            "dead_letters": (
                "ops.dead",
                "id kind payload key:idempotency_key error failed_at expires_at replayed_at",
            ),
            "lock": ("ops.locks", "lock:name owner beat_at"),
        }
        tables = {
            option: {"table": table, **{n.split(":")[0]: n.split(":")[-1] for n in names.split()}}
            for option, (table, names) in columns.items()
        }
        return {
            "login_host": "127.0.0.1",
            "login_port": self.server.port,
            "login_user": self.server.superuser,
            "login_password": self.server.password,
            "database": self.database,
            "timeout": 5.0,
            "stale_factor": 2.0,
            "max_wait_s": 600.0,
            "max_dead": 5,
            "dead_after_s": 120.0,
            "name": "scheduler",
            "owner": "",
            "wait_s": 0.0,
            "checks": [],
            "subject": "job",
            "names": [],
            "except_names": [],
            "max_age_s": 0.0,
            "channels": [],
            "window_s": 900.0,
            "max_failure_ratio": 0.05,
            "state": "replayed",
            "ids": [],
            "kinds": [],
            "error": "",
            "max_age_hours": 24.0,
            "limit": 100,
            "batch": 1,
            "rate": 1000.0,
            "max_failures": 0,
            "settle_s": 0.0,
            "ledger": [],
            **tables,
            **changes,
        }

    def found(self, **changes: Any) -> dict[str, list[dict[str, Any]]]:
        made: dict[str, list[dict[str, Any]]] = {}
        for finding in look(self.params(**changes), check_mode=False)["findings"]:
            made.setdefault(finding["check"], []).append(finding)
        return made

    def replay(self, *, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
        return replay(self.params(**changes), check_mode=check_mode)

    def release(self, *, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
        return lock.release(self.params(**changes), check_mode=check_mode)

    def waiting(self) -> list[str]:
        rows = self.sql("SELECT idempotency_key FROM ops.jobs WHERE done_at IS NULL ORDER BY 1")
        return [row[0] for row in rows]

    @contextmanager
    def session(self, name: str) -> Iterator[None]:
        """A session that bears a name, as a worker that lives keeps one."""
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.server.port,
            user=self.server.superuser,
            password=self.server.password,
            dbname=self.database,
            application_name=name,
        )
        try:
            yield
        finally:
            connection.close()


@pytest.fixture
def jobs(postgres: PostgresServer, database: str) -> Jobs:
    postgres.execute(_SCHEMA, database=database)
    return Jobs(postgres, database)


def test_each_job_the_queue_the_dead_and_the_lock_are_measured(jobs: Jobs) -> None:
    found = jobs.found()
    beats = {finding["observed"]["job"]: finding for finding in found["job_heartbeat"]}
    assert (beats["reminders"]["status"], beats["invoices"]["status"]) == ("ok", "fail")
    assert "60 min ago; it runs every 60 s" in beats["invoices"]["summary"]
    assert found["job_queue"][0]["status"] == "fail"
    assert found["job_queue"][0]["observed"]["waiting"] == 1
    dead = found["job_dead_letters"][0]
    assert (dead["status"], dead["observed"]["dead"], dead["observed"]["expired"]) == ("fail", 8, 1)
    assert dead["observed"]["top"][0] == {"kind": "receipt", "error": "provider timed out", "count": 6}
    assert found["job_lock"][0]["status"] == "fail"
    assert found["job_lock"][0]["observed"]["owner_dead"] is True


def test_each_channel_is_measured_by_what_failed_lately(jobs: Jobs) -> None:
    jobs.sql("""INSERT INTO ops.dead (kind, payload, idempotency_key, error, failed_at)
                SELECT 'mail', '{}', 'm' || i, 'key refused', now() FROM generate_series(1, 3) i""")
    jobs.sql("""INSERT INTO ops.jobs (kind, payload, idempotency_key, enqueued_at, done_at)
                SELECT 'text', '{}', 't' || i, now(), now() FROM generate_series(1, 9) i""")
    channels = [{"name": "email", "kinds": ["mail", "receipt"]}, {"name": "sms", "kinds": ["text"]}]
    found = jobs.found(channels=channels)
    failures = {f["observed"]["channel"]: f for f in found["notification_failures"]}
    # What failed hours ago says nothing of the provider now.
    assert {name: (f["status"], f["observed"]["failed"]) for name, f in failures.items()} == {
        "email": ("fail", 3),
        "sms": ("ok", 0),
    }
    assert "3 of 3 messages failed within 15 min; most often: key refused." in failures["email"]["summary"]
    assert set(jobs.found(channels=channels, checks=["notification_queue"])) == {"notification_queue"}
    waits = {f["observed"]["channel"]: f["status"] for f in found["notification_queue"]}
    assert waits == {"email": "fail", "sms": "ok"}


def test_a_heartbeat_from_the_future_is_a_wrong_clock_and_not_fresh(jobs: Jobs) -> None:
    jobs.sql("UPDATE ops.beats SET beat_at = now() + interval '1 day' WHERE job = 'reminders'")
    beat = next(f for f in jobs.found()["job_heartbeat"] if f["observed"]["job"] == "reminders")
    assert (beat["status"], "its clock is wrong" in beat["summary"]) == ("fail", True)


def test_a_table_that_is_missing_hides_nothing_else(jobs: Jobs) -> None:
    jobs.sql("DROP TABLE ops.dead")
    found = jobs.found()
    assert found["job_dead_letters"][0]["status"] == "unknown"
    assert "no such table" in found["job_dead_letters"][0]["summary"]
    assert found["job_queue"][0]["status"] == "fail"


def test_a_server_that_is_gone_leaves_every_check_unknown(jobs: Jobs) -> None:
    found = jobs.found(login_port=1)
    assert {f["status"] for group in found.values() for f in group} == {"unknown"}
    assert set(found) == {"job_heartbeat", "job_queue", "job_dead_letters", "job_lock"}


def test_the_lock_of_the_dead_is_released_once(jobs: Jobs) -> None:
    planned = jobs.release(check_mode=True)
    assert (planned["changed"], planned["owner"]) == (True, "worker-1")
    assert jobs.sql("SELECT owner FROM ops.locks WHERE name = 'scheduler'") == [("worker-1",)]
    done = jobs.release()
    assert done["diff"] == planned["diff"]
    assert jobs.sql("SELECT owner FROM ops.locks WHERE name = 'scheduler'") == [(None,)]
    assert not jobs.release()["changed"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_an_owner_with_a_session_keeps_its_lock(jobs: Jobs, check_mode: bool) -> None:
    with jobs.session("worker-1"), pytest.raises(ConflictError, match="1 sessions with the database"):
        jobs.release(check_mode=check_mode)
    assert jobs.sql("SELECT owner FROM ops.locks WHERE name = 'scheduler'") == [("worker-1",)]


@pytest.mark.parametrize("silent", ["now() - interval '100 s'", "NULL"])
def test_an_owner_that_is_silent_for_a_moment_keeps_its_lock(jobs: Jobs, silent: str) -> None:
    jobs.sql(f"UPDATE ops.locks SET beat_at = {silent} WHERE name = 'scheduler'")
    with pytest.raises(ConflictError) as raised:
        jobs.release()
    assert raised.value.kind == "owner_lives"
    assert jobs.found()["job_lock"][0]["status"] == "ok"


def test_an_owner_that_was_stopped_a_moment_ago_is_waited_for(jobs: Jobs) -> None:
    jobs.sql("UPDATE ops.locks SET beat_at = now() WHERE name = 'scheduler'")
    with jobs.session("worker-1"):
        # The plan knows that it will have been stopped by then.
        assert jobs.release(check_mode=True, owner="worker-1", wait_s=5.0)["changed"]
    assert jobs.release(owner="worker-1", wait_s=5.0, dead_after_s=1.0)["changed"]


def test_a_lock_that_another_has_taken_is_left_to_it(jobs: Jobs) -> None:
    assert not jobs.release(owner="worker-0", wait_s=5.0)["changed"]
    assert jobs.sql("SELECT owner FROM ops.locks WHERE name = 'scheduler'") == [("worker-1",)]


def test_only_what_is_chosen_fresh_and_whole_is_queued_and_only_once(jobs: Jobs) -> None:
    planned = jobs.replay(check_mode=True, kinds=["receipt", "otp"], error="timed out")
    assert jobs.waiting() == ["q1"]
    done = jobs.replay(kinds=["receipt", "otp"], error="timed out")
    assert done["diff"] == planned["diff"]
    # Whose key is in the queue already is marked, and not queued a second time.
    assert [one["id"] for one in done["replayed"]] == ["1", "2", "3"]
    assert jobs.waiting() == ["q1", "r1", "r2"]
    reasons = {one["id"]: one["reason"] for one in done["left_alone"]}
    assert reasons == {
        "4": "it is past its use",
        "5": "its payload is not JSON",
        "6": "it has no idempotency key, so it might run twice",
        "7": "it failed 30 h ago",
    }
    assert "payload" not in str(done["replayed"])
    assert not jobs.replay(kinds=["receipt"], error="timed out")["changed"]


def test_a_limit_leaves_the_younger_for_later(jobs: Jobs) -> None:
    done = jobs.replay(ids=["1", "2"], limit=1)
    assert [one["id"] for one in done["replayed"]] == ["1"]
    assert {"id": "2", "reason": "the limit of 1 is reached"}.items() <= done["left_alone"][-1].items()


def test_an_undo_takes_back_what_nobody_has_begun(jobs: Jobs) -> None:
    undo = jobs.replay(kinds=["receipt"])["undo"]["args"]
    jobs.sql("UPDATE ops.jobs SET taken_at = now() WHERE idempotency_key = 'r1'")
    assert jobs.replay(state="withdrawn", check_mode=True, **undo)["changed"]
    assert jobs.waiting() == ["q1", "r1", "r2"]
    done = jobs.replay(state="withdrawn", **undo)
    assert jobs.waiting() == ["q1", "r1"]
    assert [one["key"] for one in done["left_alone"]] == ["r1"]
    assert jobs.sql("SELECT id FROM ops.dead WHERE replayed_at IS NULL AND id <= 3 ORDER BY 1") == [(2,)]
    assert not jobs.replay(state="withdrawn", **undo)["changed"]


def test_what_fails_again_stops_the_rest_and_can_be_taken_back(jobs: Jobs) -> None:
    # The cause is still there: what is queued is a dead letter again at once.
    jobs.sql("""
      CREATE FUNCTION ops.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO ops.dead (kind, payload, idempotency_key, error, failed_at)
        VALUES (NEW.kind, NEW.payload, NEW.idempotency_key, 'again', clock_timestamp()); RETURN NEW; END $$;
      CREATE TRIGGER fail AFTER INSERT ON ops.jobs FOR EACH ROW EXECUTE FUNCTION ops.fail()""")
    with pytest.raises(VerificationError, match="failed again") as raised:
        jobs.replay(kinds=["receipt"])
    assert (raised.value.changed, jobs.waiting()) == (True, ["q1", "r1"])
    assert raised.value.undo is not None
    jobs.replay(state="withdrawn", **raised.value.undo["args"])
    assert jobs.waiting() == ["q1"]


@contextmanager
def _worker(jobs: Jobs, statement: str) -> Iterator[None]:
    """Somebody who works on the queue a moment after it was filled."""
    timer = threading.Timer(0.4, jobs.sql, [statement])
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_what_fails_again_after_the_last_batch_is_an_error(jobs: Jobs) -> None:
    late = """
      WITH gone AS (DELETE FROM ops.jobs WHERE idempotency_key = 'r1'
                    RETURNING kind, payload, idempotency_key)
      INSERT INTO ops.dead (kind, payload, idempotency_key, error, failed_at)
      SELECT kind, payload, idempotency_key, 'again', clock_timestamp() FROM gone"""
    with (
        _worker(jobs, late),
        pytest.raises(VerificationError, match="1 of 2 that were queued failed again") as raised,
    ):
        jobs.replay(ids=["1", "2"], settle_s=10.0)
    assert (raised.value.kind, raised.value.changed) == ("failed_again", True)


def test_a_replay_ends_when_the_worker_is_done_with_it(jobs: Jobs) -> None:
    began = time.monotonic()
    with _worker(jobs, "UPDATE ops.jobs SET taken_at = now(), done_at = now() WHERE idempotency_key ~ '^r'"):
        done = jobs.replay(ids=["1", "2", "3"], settle_s=10.0)
    assert (done["changed"], done["undo"]["reversible"]) == (True, False)
    # What waited before under the same key is not waited for: its age is another finding.
    assert (jobs.waiting(), time.monotonic() - began < 8) == (["q1"], True)


def test_what_nobody_works_on_is_queued_and_not_delivered(jobs: Jobs) -> None:
    with pytest.raises(VerificationError, match=r"2 of 2 .* not done after 0\.1 s") as raised:
        jobs.replay(ids=["1", "2"], settle_s=0.1)
    assert raised.value.undo is not None
    jobs.replay(state="withdrawn", **raised.value.undo["args"])
    assert jobs.waiting() == ["q1"]


@pytest.mark.parametrize(("answers", "said", "slept"), [([0], 0, 0), ([2, 1, 0], 0, 2), ([3] * 9, 3, 4)])
def test_a_wait_ends_with_the_last_or_when_time_is_up(answers: list[int], said: int, slept: int) -> None:
    now, left = [0.0], iter(answers)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    assert wait_until(lambda: next(left), 1.0, clock=lambda: now[0], sleep=sleep) == said
    assert len(pauses) == slept


_WORK = """
CREATE FUNCTION ops.work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s RETURN NEW; END $$;
CREATE TRIGGER work BEFORE INSERT ON ops.jobs FOR EACH ROW EXECUTE FUNCTION ops.work()"""


def test_a_test_message_has_to_be_done(jobs: Jobs) -> None:
    options = {"kind": "mail", "payload": "{}", "within_s": 0.5}
    assert probe(jobs.params(**options), check_mode=True)["seconds"] is None
    assert jobs.waiting() == ["q1"]
    with pytest.raises(VerificationError, match="it still waits"):
        probe(jobs.params(**options), check_mode=False)
    jobs.sql(_WORK % "NEW.done_at := now();")
    assert probe(jobs.params(**options), check_mode=False)["seconds"] < 5


def test_a_test_message_that_becomes_a_dead_letter_says_why(jobs: Jobs) -> None:
    dies = "INSERT INTO ops.dead (idempotency_key, error) VALUES (NEW.idempotency_key, 'key refused');"
    jobs.sql(_WORK % dies)
    with pytest.raises(VerificationError, match="it became a dead letter: key refused"):
        probe(jobs.params(kind="mail", payload="{}", within_s=5.0), check_mode=False)
    with pytest.raises(UsageError, match="no JSON"):
        probe(jobs.params(kind="mail", payload="{", within_s=5.0), check_mode=False)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({}, UsageError, "all at once is never right"),
        ({"error": "("}, UsageError, "no regular expression"),
        ({"kinds": ["receipt"], "queue": None}, UsageError, "name both tables"),
    ],
)
def test_a_choice_that_cannot_be_used_changes_nothing(
    jobs: Jobs, changes: dict[str, Any], error: type[OncallError], says: str
) -> None:
    with pytest.raises(error, match=says):
        jobs.replay(**changes)
    assert jobs.waiting() == ["q1"]


def test_a_queue_that_would_take_a_message_twice_is_refused(jobs: Jobs) -> None:
    jobs.sql("DROP INDEX ops.jobs_once")
    with pytest.raises(OncallError, match=r"CREATE UNIQUE INDEX CONCURRENTLY ON ops\.jobs"):
        jobs.replay(kinds=["receipt"])
    assert jobs.waiting() == ["q1"]
