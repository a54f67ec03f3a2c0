# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stopping a run: one interrupt after the current step, a second one (or SIGTERM) now."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopper:
    """Takes over the signals while it is entered. Works in the main thread only.

    `soon`: the operator wants a stop after the current step; `now`: at once. `on_soon` is called once.
    """

    def __init__(self, on_soon: Callable[[], None]) -> None:
        self.soon = False
        self.now = False
        self.reason = ""
        self._on_soon = on_soon
        self._before: dict[int, Any] = {}

    def stop_now(self, reason: str) -> None:
        """Ask for a stop at once; the first reason stays."""
        self.reason = self.reason or reason
        self.now = True

    def _signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and not self.soon:
            self.soon = True
            self._on_soon()
            return
        self.stop_now(
            "the operator interrupted twice" if number == signal.SIGINT else signal.Signals(number).name
        )

    def __enter__(self) -> Stopper:
        self._before = {number: signal.signal(number, self._signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
