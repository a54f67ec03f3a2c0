# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting until nothing is left of what a worker has to do."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Callable

_PAUSE_S = 0.25


def wait_until(
    left: Callable[[], int],
    within_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Ask `left` until it says 0 or `within_s` seconds are over; return what it said last."""
    deadline = clock() + within_s
    while True:
        rest = left()
        remaining = deadline - clock()
        if not rest or remaining <= 0:
            return rest
        sleep(min(_PAUSE_S, remaining))
