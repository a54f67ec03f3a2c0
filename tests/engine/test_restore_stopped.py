"""The real restore, stopped in the middle and at the worst moment: it is resumed, or taken back."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from runbook.rehearsal.fault_proxy import S3FaultProxy

from .barn import Barn, signal_all, until

pytestmark = pytest.mark.slow
# More than an inspection reads of a backup, less than the backup has.
HELD_AFTER = 1_500_000
TRICKLE = 4_000  # bytes per second: 7 minutes for what is left
RESTORE = ("run", "roost", "database-failure", "--mitigation", "restore", "--apply", "--confirm", "roost")


@contextlib.contextmanager
def held_in_the_middle(barn: Barn) -> Iterator[Callable[[], None]]:
    """However fast a restore is, it is in the middle of the backup until the yielded function is called.

    It gets a trickle meanwhile, for minutes: a connection that gives nothing more is given up.
    """
    with S3FaultProxy(barn.s3.endpoint) as proxy:
        hold = proxy.rules.add(
            "slow", path=r"\.gz", method="GET", after_bytes=HELD_AFTER, times=0, rate=TRICKLE
        )

        def go_on() -> None:
            hold.rate = 1 << 30

        barn.endpoint = proxy.url
        try:
            yield go_on
        finally:
            go_on()


@pytest.mark.parametrize("how", ["SIGINT twice", "SIGTERM", "SIGKILL", "kill all", "time limit"])
def test_a_restore_that_is_stopped_in_the_middle_leaves_nothing_and_is_resumed(barn: Barn, how: str) -> None:
    with held_in_the_middle(barn) as go_on:
        barn.limit = 25 if how == "time limit" else 0
        barn.write()
        process = barn.start(*RESTORE)
        until(barn.is_loading, 240, process)
        # What the operator sees meanwhile comes from the host, over SSH too.
        until(lambda: _is_told(barn), 60, process)
        if how == "kill all":
            signal_all(barn, signal.SIGKILL)
        signals = {"SIGINT twice": ["SIGINT"] * 2, "kill all": [], "time limit": []}.get(how, [how])
        for name in signals:
            process.send_signal(signal.Signals[name])
            time.sleep(0.3)
        out = process.communicate(timeout=90)[0]
        # At once when there is somebody to do it; by its lease when there is nobody.
        until(lambda: not barn.processes() and barn.sessions() == 0, 45)
        until(barn.is_free, 45)
        assert barn.databases() == []
        assert barn.users() == 0
        stopped = barn.result(barn.runs[-1])
        assert stopped["exit"]["code"] in (20, 21), stopped["exit"]
        if how == "time limit":
            assert "was stopped after 25 s, its time limit" in " ".join(out.split())
        go_on()
        code, out = barn("resume", barn.runs[-1], "--apply", "--confirm", "roost")
    assert code == 0, out
    assert barn.users() == 40000


def _is_told(barn: Barn) -> bool:
    """Whether the progress of the load is known: bytes of all, and how fast."""
    told = [json.loads(line) for line in barn.newest().progress.read_text().splitlines()]
    # How much it is in all may be told after the first bytes.
    whole = [(each["bytes"], each["total"], each["rate"]) for each in told if each.get("bytes")]
    return any(total and done < total and rate for done, total, rate in whole)


def test_a_switch_that_nobody_recorded_is_found_out_resumed_and_taken_back(barn: Barn) -> None:
    with held_in_the_middle(barn) as go_on:
        barn.write()
        process = barn.start(*RESTORE)
        until(barn.is_loading, 240, process)
        with _not_renamed(barn) as waits:
            go_on()
            until(waits, 60, process)
            signal_all(barn, signal.SIGKILL)
            process.communicate(timeout=30)
            assert not _is_switched(barn)
        until(lambda: _is_switched(barn), 30)
        _find_out(barn)


@contextlib.contextmanager
def _not_renamed(barn: Barn) -> Iterator[Callable[[], bool]]:
    """Hold up the rename of the live database, and yield what tells whether it waits."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND wait_event_type = 'Lock'"
    with contextlib.closing(barn.server.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute(f"COMMENT ON DATABASE \"{barn.database}\" IS 'never committed'")
        yield lambda: barn.server.execute(waiting, ("ALTER DATABASE % RENAME TO %",))[0][0] > 0


def _is_switched(barn: Barn) -> bool:
    return any("_before_" in name for name in barn.databases())


def _find_out(barn: Barn) -> None:
    run = barn.runs[-1]
    stopped = barn.result(run)
    assert (stopped["ended"], stopped["exit"]["code"]) == ("killed", 21)
    oid = "SELECT oid FROM pg_database WHERE datname = %s"
    switched = barn.server.execute(oid, (barn.database,))
    until(lambda: not barn.processes() and barn.is_free(), 60)
    code, out = barn("resume", run, "--apply", "--confirm", "roost")
    assert code == 0, out
    assert "found out" in out
    resumed = barn.result(barn.runs[-1])
    assert [t["state"] for t in resumed["reconciled"]] == ["done"]
    assert resumed["exit"]["name"] == "verified"
    # It is the same database: nothing was restored a second time.
    assert barn.server.execute(oid, (barn.database,)) == switched
    assert barn.users() == 40000
    code, out = barn("undo", barn.runs[-1], "--apply", "--confirm", "roost")
    assert code == 0, out
    assert barn.users() == 0
