# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workers that end with the process that forked them, also when that is killed and cannot tell them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1


class _Tether:
    libc: Any = None
    main = 0


def tie_workers() -> None:
    """From now on each direct fork of this process gets SIGTERM when this process ends, however it ends.

    A worker of Ansible answers SIGTERM by ending its own processes. Forks of forks are left alone: the keeper
    of the lock has to outlive the run. Does nothing where the kernel has no such signal.
    """
    if not sys.platform.startswith("linux"):
        return
    if _Tether.libc is None:
        _Tether.libc = ctypes.CDLL(None, use_errno=True)
        os.register_at_fork(after_in_child=_in_child)
    _Tether.main = os.getpid()


def _in_child() -> None:
    parent = os.getppid()
    if parent != _Tether.main:
        return
    _Tether.libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        # It ended before the signal was asked for.
        os._exit(1)
