# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The process that keeps a run's lock: renews it while the run's main process lives, then gives it back."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from runbook_engine.ids import timestamp
from runbook_engine.lock_status import LockStatus, mark_lost, process_started, ticks, write_status
from runbook_engine.state import RESULT

_POLL = 0.5


class LockLostError(Exception):
    """The target says that the lock belongs to this run no more."""


@dataclass
class Lock:
    """A lock that was taken: how to renew and release it (each raises LockLostError or any other error)."""

    renew: Callable[[], None]
    release: Callable[[], None]
    lease: float
    status: LockStatus
    folder: Path
    progress: Path | None
    # Ends what the run left behind when its main process died and nobody else can: before the lock is free.
    sweep: Callable[[], None] = lambda: None


class Main:
    """The process whose end ends the run; `pid` must be alive when this is made."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._started = process_started(pid)
        # Where the kernel offers it, the end of the process wakes us; elsewhere we look twice a second.
        self._fd = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._fd = os.pidfd_open(pid)

    @property
    def descriptors(self) -> set[int]:
        """File descriptors that must stay open."""
        return {self._fd} - {-1}

    def wait(self, timeout: float, wake: int) -> bool:
        """Wait `timeout` seconds at most, or until `wake` can be read; whether the process has ended."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), 0)
            watched = [fd for fd in (self._fd, wake) if fd >= 0]
            ready = select.select(watched, [], [], left if self._fd >= 0 else min(left, _POLL))[0]
            if self._fd in ready or (self._fd < 0 and process_started(self.pid) != self._started):
                return True
            if wake in ready:
                os.read(wake, 64)
                return False
            if left == 0:
                return False


class Keeper:
    """Renews a lock every third of its lease. Everything happens in `run`, in a process of its own."""

    def __init__(self, lock: Lock, main: Main) -> None:
        self.lock, self.main = lock, main
        self._period = lock.lease / 3
        self._stop = False
        self._lost = False
        self._wake = -1

    def run(self) -> None:
        """Keep the lock until the main process ends, SIGTERM asks for its end, or somebody took it."""
        # A signal must end the wait at once: the run waits for its keeper before it says that it has ended.
        self._wake, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_term)
        try:
            while not self._wait():
                if not self._renew():
                    return
            if not self._stop:
                self._sweep()
            self._release()
        finally:
            _end_children()

    def _wait(self) -> bool:
        """Sleep until the next renewal; True when it is time to give the lock back."""
        deadline = time.monotonic() + self._period
        while not self._stop:
            left = deadline - time.monotonic()
            if self.main.wait(max(left, 0), self._wake):
                return True
            if left <= 0:
                return False
        return True

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def _renew(self) -> bool:
        """Renew once. False when the lock belongs to somebody else, so that there is nothing left to keep."""
        sent = ticks()
        try:
            with _time_limit(self._period):
                self.lock.renew()
        except LockLostError as error:
            self._lose(str(error))
            return False
        except Exception as error:  # whatever a connection raises, the next try may work
            if ticks() >= self.lock.status.valid_until:
                self._lose(f"the lock {self.lock.status.name} could not be renewed in time: {error}")
            return True
        self._note(replace(self.lock.status, valid_until=sent + self.lock.lease))
        return True

    def _sweep(self) -> None:
        # A run that ended in good order has a result, and has ended what it began.
        if (self.lock.folder / RESULT).exists():
            return
        # Nobody may change the system while something of this run still does.
        self._renew()
        with contextlib.suppress(Exception):
            self.lock.sweep()

    def _release(self) -> None:
        # Two tries: the connection may end together with the main process that opened it.
        for _ in range(2):
            with contextlib.suppress(Exception), _time_limit(self._period):
                self.lock.release()
                self._note(replace(self.lock.status, state="released"))
                break

    def _note(self, status: LockStatus) -> None:
        self.lock.status = status
        # A full disk on the controller must not cost the lock: without news the run stops by itself.
        with contextlib.suppress(OSError):
            write_status(self.lock.folder, status)

    def _lose(self, reason: str) -> None:
        if self._lost:
            return
        self._lost = True
        with contextlib.suppress(OSError):
            mark_lost(self.lock.folder, reason)
            self._tell(reason)

    def _tell(self, reason: str) -> None:
        if self.lock.progress is None:
            return
        line = {"at": timestamp(), "kind": "lock", "state": "lost", "text": f"LOCK LOST: {reason}"}
        with self.lock.progress.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after `seconds`, and end the programs that it had started."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the host did not answer within {seconds:.0f} s")

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TimeoutError:
        _end_children()
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end_children() -> None:
    """End what this process started and is still there (an ssh that hangs), and take up what has ended."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    deadline = time.monotonic() + 1
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)


def start(prepare: Callable[[], Lock], main: Main, keep_open: set[int]) -> int:
    """Start the keeper in a process that belongs to nobody, and return its number.

    `prepare` is called in that process. It inherits no open file but those in `keep_open`: an open end of a
    pipe of Ansible or of the terminal would keep its reader waiting after the run.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                os.write(writer, str(os.getpid()).encode())
                _isolate(keep_open | main.descriptors)
                Keeper(prepare(), main).run()
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return int(pipe.read())


def _isolate(keep_open: set[int]) -> None:
    os.setpgid(0, 0)
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    low = 3
    for kept in sorted(keep_open):
        os.closerange(low, kept)
        low = kept + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def stop(status: LockStatus, timeout: float) -> bool:
    """Tell the keeper to give the lock back and wait for its end; False when it has not ended in time."""
    deadline = time.monotonic() + timeout
    if process_started(status.keeper) == status.keeper_started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(status.keeper, signal.SIGTERM)
    while process_started(status.keeper) == status.keeper_started:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
