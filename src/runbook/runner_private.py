# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The private folder of one run of ansible-runner: in memory where possible, wiped on every exit."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - a 0700 folder is made in it
_PREFIX = "runbook-"
_YOUNG_S = 10.0


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new 0700 folder, on a memory file system when there is one; it is gone afterwards."""
    base = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(base: Path, prefix: str = _PREFIX) -> None:
    """Remove what the killed left in `base`: folders of ours, by their prefix, that nobody holds a lock on.

    A lock, because a process id means nothing in another process namespace, where a rehearsal may be running.
    """
    for folder in base.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
                continue
            # Between mkdtemp and flock a folder is new and unlocked: leave the young ones alone.
            if time.time() - found.st_mtime > _YOUNG_S and _unheld(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _unheld(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


@contextlib.contextmanager
def swallowed(path: Path) -> Iterator[None]:
    """Make `path` a pipe whose reader forgets everything.

    ansible-runner writes the command and the whole environment of the child, secrets too, to a file. As a
    pipe, that file never holds anything.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.mkfifo(path, 0o600)
    # Opened both ways: open never blocks, and there is no end of file before the writer came.
    handle = os.open(path, os.O_RDWR)
    drain = threading.Thread(target=_drain, args=(handle,), daemon=True)
    drain.start()
    try:
        yield
    finally:
        os.write(handle, b"\0")
        drain.join()
        os.close(handle)


def _drain(handle: int) -> None:
    while not os.read(handle, 65536).endswith(b"\0"):
        pass
