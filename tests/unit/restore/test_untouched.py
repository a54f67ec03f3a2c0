"""Whether the live database is as it was: found out by looking, in every ending of a switch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import (
    inspect_loss,
    job_undo,
    switch,
    untouched,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_restore import Restore
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress
from hand_made import HandSource, login_of

from runbook.rehearsal.postgres_server import PostgresServer


@pytest.fixture
def options(postgres: PostgresServer, database: str) -> RestoreOptions:
    postgres.execute("CREATE TABLE t (id bigint, name text)", database=database)
    login = login_of(postgres, application_name="oncall-run-1")
    return RestoreOptions(database, "run-1", login, key="daily/x.sql.gz", etag="e1", switch_timeout=2)


def rows(postgres: PostgresServer, options: RestoreOptions) -> int:
    return int(postgres.execute("SELECT count(*) FROM t", database=options.database)[0][0])


def lost_connection() -> OncallError:
    return OncallError("rename", got="server closed the connection", kind="server_gone")


def test_a_commit_whose_answer_was_lost_is_found_done(
    postgres: PostgresServer, options: RestoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = switch.swap

    def swap(*arguments: Any, **more: Any) -> Any:
        real(*arguments, **more)
        raise lost_connection()

    monkeypatch.setattr(switch, "swap", swap)
    done = Restore(options, HandSource(), Progress()).run()
    assert done["changed"]
    assert done["undo"]["reversible"] is True
    assert rows(postgres, options) == 1000
    assert not untouched.proved(options)
    assert untouched.proved(options, undoing=True)


def test_a_switch_that_failed_before_its_commit_left_everything(
    postgres: PostgresServer, options: RestoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(*_arguments: Any, **_more: Any) -> Any:
        raise lost_connection()

    monkeypatch.setattr(switch, "swap", swap)
    restore = Restore(options, HandSource(), Progress())
    with pytest.raises(OncallError, match="server closed"):
        restore.run()
    assert restore.left_unchanged() is True
    assert rows(postgres, options) == 0


def test_a_restored_database_that_does_not_answer_is_swapped_back(
    postgres: PostgresServer, options: RestoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(*_arguments: Any) -> None:
        raise OncallError("run a query", got="no answer", kind="no_answer")

    monkeypatch.setattr(switch, "answers", answers)
    restore = Restore(options, HandSource(), Progress())
    with pytest.raises(OncallError, match="no answer"):
        restore.run()
    assert restore.left_unchanged() is True
    assert options.restored_name in restore.left_behind
    assert rows(postgres, options) == 0
    monkeypatch.undo()
    assert Restore(options, HandSource(), Progress()).run()["resumed"] == options.restored_name


def test_an_undo_that_fails_says_what_is_live(
    postgres: PostgresServer, options: RestoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    Restore(options, HandSource(), Progress()).run()

    def swap(*_arguments: Any, **_more: Any) -> Any:
        raise lost_connection()

    with monkeypatch.context() as patched:
        patched.setattr(switch, "swap", swap)
        with pytest.raises(OncallError) as caught:
            job_undo.undo(options)
        assert caught.value.changed is False
    with monkeypatch.context() as patched:
        patched.setattr(switch, "answers", lambda *_arguments: (_ for _ in ()).throw(lost_connection()))
        with pytest.raises(OncallError) as caught:
            job_undo.undo(options)
        assert caught.value.changed is True
    assert rows(postgres, options) == 0


def test_a_server_that_is_gone_proves_nothing(
    options: RestoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untouched, "_WAIT", 0.1)
    gone = replace(options, login=replace(options.login, port=9))
    assert untouched.proved(gone) is False


TABLES = [{"table": f"t{n}", "rows_newer": n * 10} for n in range(3)]


@pytest.mark.parametrize(
    ("window", "tables", "live", "says"),
    [
        (18_120, TABLES, "answers", "5 h 2 min; 30 rows newer in 2 of 3 tables"),
        (
            90_000,
            [
                *TABLES,
                {
                    "table": "a",
                    "rows_newer": None,
                    "note": "it cannot be read: invalid page in block 3; 9 rows",
                },
                {"table": "b", "rows_newer": None, "note": "counting took more than 2 s"},
            ],
            "answers",
            "1 d 1 h; at least 30 rows newer in 2 of 5 tables; 1 table could not be read; "
            "1 table could not be counted in time",
        ),
        (59, [], "does not answer: refused", "59 s; the live database does not answer"),
        (None, [], "answers", "the backup's age is not known; no table says when its rows came"),
    ],
)
def test_a_loss_in_one_sentence(
    window: int | None, tables: list[dict[str, Any]], live: str, says: str
) -> None:
    known = [t["rows_newer"] for t in tables if t["rows_newer"] is not None]
    loss = {
        "window_s": window,
        "tables": tables,
        "live": live,
        "rows_newer_total": sum(known),
        "tables_not_counted": len(tables) - len(known),
    }
    assert inspect_loss.summary(loss) == says
