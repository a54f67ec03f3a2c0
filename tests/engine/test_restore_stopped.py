"""The real restore, stopped in the middle and at the worst moment: it is resumed, or taken back."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from runbook.rehearsal.fault_proxy import S3FaultProxy

from .barn import Barn, signal_all, until

pytestmark = pytest.mark.slow
# More than an inspection reads of a backup, less than the backup has.
HELD_AFTER = 1_500_000
RESTORE = ("run", "roost", "database-failure", "--mitigation", "restore", "--apply", "--confirm", "roost")


@contextlib.contextmanager
def held_in_the_middle(barn: Barn) -> Iterator[threading.Event]:
    """However fast a restore is, it is in the middle of the backup until the event is set.

    It gets a little every five seconds: a connection that gives nothing more is given up.
    """
    go_on = threading.Event()
    with S3FaultProxy(barn.s3.endpoint) as proxy:
        proxy.rules.add(
            "hook", path=r"\.gz", method="GET", after_bytes=HELD_AFTER, times=0, hook=lambda: go_on.wait(5)
        )
        barn.endpoint = proxy.url
        try:
            yield go_on
        finally:
            go_on.set()


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
        go_on.set()
        code, out = barn("resume", barn.runs[-1], "--apply", "--confirm", "roost")
    assert code == 0, out
    assert barn.users() == 40000


def _is_told(barn: Barn) -> bool:
    """Whether the progress of the load is known: bytes of all, and how fast."""
    told = [json.loads(line) for line in barn.newest().progress.read_text().splitlines()]
    return any(0 < (each.get("bytes") or 0) < each.get("total", 0) and each.get("rate") for each in told)


def test_a_switch_that_nobody_recorded_is_found_out_resumed_and_taken_back(barn: Barn) -> None:
    with held_in_the_middle(barn) as go_on:
        barn.write()
        process = barn.start(*RESTORE)
        until(barn.is_loading, 240, process)
        # The job goes on alone, until its lease is over; the controller never sees its end.
        signal_all(barn, signal.SIGSTOP)
        go_on.set()
        until(lambda: any("_before_" in name for name in barn.databases()), 14)
        signal_all(barn, signal.SIGKILL)
        process.communicate(timeout=30)
        _find_out(barn)


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
