"""The review of an audit log against a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.breach.review import review
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError

from runbook.rehearsal.postgres_server import PostgresServer

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
_TABLE = """CREATE TABLE audit_log (id bigserial, actor_type text, actor_id bigint, action text,
    resource_type text, ip_address inet, detail jsonb, created_at timestamptz)"""
_COLUMNS = {
    "created_at": "created_at",
    "actor_type": "actor_type",
    "actor_id": "actor_id",
    "action": "action",
    "address": "ip_address",
    "resource_type": "resource_type",
    "subject": "detail",
}


class Log:
    """An audit log in a database of its own."""

    def __init__(self, postgres: PostgresServer, database: str) -> None:
        self.postgres, self.database = postgres, database
        postgres.execute(_TABLE, database=database)

    def add(self, hours_ago: float, actor: int, action: str = "login", **more: Any) -> None:
        """Write an entry so many hours before NOW."""
        self.postgres.execute(
            "INSERT INTO audit_log"
            " (actor_type, actor_id, action, resource_type, ip_address, detail, created_at)"
            " VALUES (%s, %s, %s, %s, %s, jsonb_build_object('subscriber', %s::text), %s)",
            (
                more.get("kind", "admin"),
                actor,
                action,
                more.get("resource", "session"),
                more.get("address", "10.0.0.1"),
                more.get("subject"),
                NOW - timedelta(hours=hours_ago),
            ),
            database=self.database,
        )

    def review(self, **changes: Any) -> dict[str, dict[str, Any]]:
        """Review it and return the findings by check."""
        return {found["check"]: found for found in self.result(**changes)["findings"]}

    def result(self, **changes: Any) -> dict[str, Any]:
        """Review it and return the module's result."""
        params: dict[str, Any] = {
            "login_host": "127.0.0.1",
            "login_port": self.postgres.port,
            "login_user": self.postgres.superuser,
            "login_password": self.postgres.password,
            "database": self.database,
            "table": "audit_log",
            "columns": _COLUMNS,
            "subject_key": "subscriber",
            "admin_types": ["admin"],
            "known_admins": [],
            "window_hours": 24.0,
            "history_days": 30.0,
            "actors": [],
            "addresses": [],
            "sensitive_actions": ["subscriber.export"],
            "burst_per_hour": 20,
            "categories": {"subscriber": "name and e-mail address"},
            "declared": False,
            "timeout": 5.0,
        }
        return review({**params, **changes}, now=lambda: NOW)


@pytest.fixture
def log(postgres: PostgresServer, database: str) -> Log:
    """A log with a quiet past: one administrator, one address."""
    made = Log(postgres, database)
    made.add(24 * 20, 1)
    made.add(3, 1)
    return made


def test_a_quiet_day_is_ok(log: Log) -> None:
    found = log.review()
    assert {check: f["status"] for check, f in found.items()} == {
        "audit_log": "ok",
        "audit_admins": "ok",
        "audit_bursts": "ok",
        "breach_declared": "ok",
    }


def test_an_address_never_used_before_is_found(log: Log) -> None:
    log.add(2, 1, "token.create", address="203.0.113.9", resource="api_token")
    found = log.review()["audit_admins"]
    assert found["status"] == "fail"
    assert "from 203.0.113.9, never used before" in found["summary"]
    assert found["observed"][0]["kinds"] == ["token.create"]


def test_an_administrator_never_seen_is_found_and_a_known_one_is_not(log: Log) -> None:
    log.add(2, 7)
    assert "this administrator never acted before" in log.review()["audit_admins"]["summary"]
    assert "not one of the known" in log.review(known_admins=["1"])["audit_admins"]["summary"]
    # Known, but from an address that this administrator never used.
    assert "never used before" in log.review(known_admins=["1", "7"])["audit_admins"]["summary"]


def test_nothing_is_cut_from_a_busy_day(log: Log) -> None:
    for number in range(150):
        log.add(1 + number / 600, 50, "login", kind="subscriber", address=f"10.1.0.{number}")
    assert log.review()["audit_log"]["observed"]["entries"] == 151


def test_a_burst_of_sensitive_actions_is_found(log: Log) -> None:
    for number in range(21):
        log.add(1.5, 1, "subscriber.export", subject=number)
    found = log.review()["audit_bursts"]
    assert (found["status"], found["observed"][0]["subjects"]) == ("fail", 21)
    assert log.review(burst_per_hour=21)["audit_bursts"]["status"] == "ok"


def test_whom_the_suspects_touched(log: Log) -> None:
    for number in (5, 5, 6):
        log.add(2, 9, "subscriber.export", subject=number, resource="subscriber", address="203.0.113.9")
    log.add(30, 9, "subscriber.export", subject=8, resource="subscriber")
    by_actor, by_address = log.review(actors=["9"]), log.review(addresses=["203.0.113.9"])
    for found in (by_actor, by_address):
        assert found["breach_affected"]["observed"] == {
            "subscribers": 2,
            "categories": ["name and e-mail address"],
        }
    wider = log.result(actors=["9"], since="2026-11-19T00:00:00Z")
    assert wider["review"]["affected"]["subscribers"] == 3


def test_where_the_log_does_not_say_whom_all_are_taken_as_affected(log: Log) -> None:
    log.add(2, 9, "subscriber.export")
    found = log.review(actors=["9"], columns={**_COLUMNS, "subject": ""}, subject_key="")["breach_affected"]
    assert (found["status"], "take every subscriber" in found["summary"]) == ("unknown", True)


def test_a_suspect_who_did_nothing_is_a_hint_not_an_all_clear(log: Log) -> None:
    assert log.review(actors=["'; DROP TABLE audit_log; --"])["audit_suspects"]["status"] == "warn"
    assert log.review()["audit_log"]["status"] == "ok"


def test_a_log_that_begins_inside_the_window_warns(log: Log) -> None:
    found = log.review(since="2026-10-01T00:00:00Z")["audit_log"]
    assert (found["status"], "what happened before cannot be seen" in found["summary"]) == ("warn", True)
    log.postgres.execute("TRUNCATE audit_log", database=log.database)
    assert "it is empty" in log.review()["audit_log"]["summary"]


def test_a_declared_breach_is_a_finding_whatever_the_log_says(log: Log) -> None:
    assert log.review(declared=True)["breach_declared"]["status"] == "fail"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"table": "nothing"}, "there is no such table"),
        ({"columns": {**_COLUMNS, "address": "adress"}}, "it has no column adress"),
        ({"login_user": "nobody-known"}, "Next:"),
        ({"login_port": 1}, "start PostgreSQL"),
    ],
)
def test_what_cannot_be_read_is_unknown_and_says_why(log: Log, changes: dict[str, Any], told: str) -> None:
    found = log.review(**changes)["audit_log"]
    assert (found["status"], told in found["summary"]) == ("unknown", True)
    assert log.postgres.password not in str(found)


@pytest.mark.parametrize("changes", [{"since": "yesterday"}, {"since": "2026-11-22T00:00:00Z"}])
def test_a_window_that_is_none_is_refused(log: Log, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Next:"):
        log.review(**changes)


@pytest.mark.parametrize("name", ["created_at", "actor_type", "actor_id", "action"])
def test_a_column_that_has_to_be_there_is_named(log: Log, name: str) -> None:
    with pytest.raises(UsageError, match=f"no column for {name}.*Next: set columns.{name}"):
        log.result(columns={**_COLUMNS, name: ""})
