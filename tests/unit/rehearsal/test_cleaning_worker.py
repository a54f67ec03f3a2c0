"""The worker of the cleaning platform's stand-in, with a database that only notes what it is asked."""

from __future__ import annotations

import argparse
import threading
import time

import pytest

from runbook.rehearsal.services import cleaning_worker


class Noting:
    """A session: whoever asks for the scheduler's lock gets it."""

    asked: list[str]

    def __init__(self, *_place: object) -> None:
        pass

    def query(self, sql: str, *_values: object) -> list[list[str]]:
        """Note the statement; there is nothing in the queue."""
        self.asked.append(sql)
        time.sleep(0.002)
        return [["owner"]] if sql == cleaning_worker._LOCK else []

    def close(self) -> None:
        """Nothing is open."""


def test_who_ends_lets_go_of_the_lock_and_takes_it_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the lock had an owner that is gone, and the next worker would wait for it for ever."""
    monkeypatch.setattr(Noting, "asked", [], raising=False)
    monkeypatch.setattr(cleaning_worker, "Session", Noting)
    monkeypatch.setattr(cleaning_worker, "_PAUSE_S", 0.001)
    worker = cleaning_worker.CleaningWorker(argparse.Namespace(name="", settings=None))
    threading.Thread(target=worker.work, daemon=True).start()
    while len(Noting.asked) < 20:
        time.sleep(0.001)
    worker.end()
    time.sleep(0.1)
    assert Noting.asked[-1] == cleaning_worker._LET_GO
