"""A run's end is told at once, also when its terminal has to be closed first."""

from __future__ import annotations

import time

import pexpect
import pytest

from runbook.runner_pty import close_promptly


def test_a_terminal_whose_child_has_ended_is_closed_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    close_promptly()
    close_promptly()
    child = pexpect.spawn("true")
    child.expect(pexpect.EOF)
    while child.isalive():
        time.sleep(0.01)
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    child.close()
    assert sum(waits) == 0
    assert child.exitstatus == 0


def test_a_child_that_still_lives_is_ended() -> None:
    close_promptly()
    child = pexpect.spawn("sleep 60")
    child.close()
    assert not child.isalive()
