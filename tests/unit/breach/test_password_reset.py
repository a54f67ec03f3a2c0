"""Requiring new passwords in a real PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.breach.password_reset import (
    work_password_reset,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError

from runbook.rehearsal.postgres_server import PostgresServer

Work = Callable[..., dict[str, Any]]


@pytest.fixture
def work(postgres: PostgresServer, database: str) -> Work:
    """Do the module's work on ten subscribers; of 3 and 6 it was required before."""
    postgres.execute("CREATE TABLE subscribers (id bigint PRIMARY KEY, force boolean)", database=database)
    flags = "CASE WHEN i <> 9 THEN i IN (3, 6) END"
    filled = f"INSERT INTO subscribers SELECT i, {flags} FROM generate_series(1, 10) i"
    postgres.execute(filled, database=database)

    def run(*, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
        params: dict[str, Any] = {
            "login_host": "127.0.0.1",
            "login_port": postgres.port,
            "login_user": postgres.superuser,
            "login_password": postgres.password,
            "database": database,
            "state": "required",
            "table": "subscribers",
            "key": "id",
            "flag": "force",
            "only": [],
            "exclude": [],
            "run": "r1",
            "batch": 3,
            "max_wait_ms": 1000.0,
            "timeout": 10.0,
        }
        return work_password_reset({**params, **changes}, check_mode=check_mode)

    return run


def flagged(postgres: PostgresServer, database: str) -> list[int]:
    """Ids of whom a new password is required."""
    rows = postgres.execute("SELECT id FROM subscribers WHERE force ORDER BY id", database=database)
    return [row[0] for row in rows]


def test_all_but_the_excluded_and_back_exactly(postgres: PostgresServer, database: str, work: Work) -> None:
    assert work(check_mode=True, exclude=["1"])["rows"] == 7
    assert flagged(postgres, database) == [3, 6]
    done = work(exclude=["1"])
    assert (done["rows"], flagged(postgres, database)) == (7, [2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert not work(exclude=["1"])["changed"]
    # One of them has set a new password meanwhile: the undo leaves that alone.
    postgres.execute("UPDATE subscribers SET force = false WHERE id = 2", database=database)
    assert work(state="restored", check_mode=True)["rows"] == 7
    assert work(state="restored")["changed"]
    assert flagged(postgres, database) == [3, 6]
    assert not work(state="restored")["changed"]


def test_only_those_whose_data_was_touched(postgres: PostgresServer, database: str, work: Work) -> None:
    assert work(only=["4", "3"])["rows"] == 1
    assert flagged(postgres, database) == [3, 4, 6]


def test_two_runs_are_taken_back_apart(postgres: PostgresServer, database: str, work: Work) -> None:
    work(only=["4"], run="r1")
    work(only=["5"], run="r2")
    work(state="restored", run="r2")
    assert flagged(postgres, database) == [3, 4, 6]


def test_a_row_that_somebody_holds_is_told_and_the_next_run_goes_on(
    postgres: PostgresServer, database: str, work: Work
) -> None:
    with contextlib.closing(postgres.connect(database)) as other, other.cursor() as cursor:
        other.autocommit = False
        cursor.execute("SELECT 1 FROM subscribers WHERE id = 5 FOR UPDATE")
        with pytest.raises(VerificationError, match="1 subscribers in scope are still without"):
            work()
        other.rollback()
    assert work()["rows"] == 1
    work(state="restored")
    assert flagged(postgres, database) == [3, 6]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"table": "gone"}, r"there is no such table. Next: correct the name\.$"),
        ({"flag": "forced"}, "no column forced"),
        ({"flag": "id"}, "not boolean"),
        ({"only": ["x' OR true --"]}, "is of type bigint"),
        ({"run": ""}, "Could not require new passwords: run is empty"),
        ({"run": "", "state": "restored"}, "Could not take back what was required"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(
    postgres: PostgresServer, database: str, work: Work, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(OncallError, match=told):
        work(**changes)
    assert flagged(postgres, database) == [3, 6]


def test_an_error_says_what_was_tried(postgres: PostgresServer, database: str, work: Work) -> None:
    postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with pytest.raises(OncallError, match=r"Could not require new passwords .*it is read-only") as refused:
        work()
    assert not refused.value.changed


def test_what_is_left_in_place_is_told(postgres: PostgresServer, database: str, work: Work) -> None:
    with contextlib.closing(postgres.connect(database)) as other, other.cursor() as cursor:
        other.autocommit = False
        cursor.execute("SELECT 1 FROM subscribers WHERE id = 5 FOR UPDATE")
        with pytest.raises(VerificationError) as left:
            work()
        with pytest.raises(VerificationError) as nothing:
            work(only=["5"])
    assert (left.value.changed, nothing.value.changed) == (True, False)
