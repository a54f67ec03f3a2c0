# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lease in a file of the target, timed by the target's own clock."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Iterator, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.base import (
    DamagedLeaseError,
    Instant,
    Lease,
    LeaseStore,
)

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_GUARD_TIMEOUT = 5.0


def machine_now() -> Instant:
    """Return this machine's time; its ticks go on while it sleeps and are not moved by setting the clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Instant(_boot_id(), time.clock_gettime(clock), time.time())


def _boot_id() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


class FileStore(LeaseStore):
    """The lease is `<directory>/<name>.lease`, replaced whole; a locked guard file beside it orders writers.

    The kernel drops the guard's lock with the process that holds it, so a killed writer blocks nobody.
    """

    kind = "file"

    def location(self) -> str:
        return os.path.join(str(self.options["directory"]), self.name + ".lease")

    def now(self) -> Instant:
        return machine_now()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._explained("take"):
            os.makedirs(os.path.dirname(self.location()), mode=0o755, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            guard = os.open(self.location() + ".guard", flags, 0o600)
        try:
            self._wait_for(guard)
            yield
        finally:
            os.close(guard)

    def _wait_for(self, guard: int) -> None:
        deadline = time.monotonic() + _GUARD_TIMEOUT
        while True:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                    raise self._error("take", error) from error
            if time.monotonic() > deadline:
                raise OncallError(
                    "change the lock %s" % self.name,
                    on=self.location() + ".guard",
                    got="another process kept the guard file for %g s" % _GUARD_TIMEOUT,
                    next_step="find that process with `fuser %s.guard` and end it" % self.location(),
                )
            time.sleep(0.005)

    def read(self) -> Optional[Lease]:
        with self._explained("read"):
            try:
                with open(self.location(), encoding="utf-8") as file:
                    text = file.read()
            except FileNotFoundError:
                return None
        try:
            return Lease.from_dict(json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedLeaseError(
                "read the lock %s" % self.name,
                on=self.location(),
                got="the file is no lease (%s: %s)" % (type(error).__name__, error),
                next_step="make sure that no run is changing this system, then break the lock",
            ) from error

    def write(self, lease: Lease) -> None:
        with self._explained("write"):
            # One name for the new file: what a killed writer left is replaced, not collected.
            fresh = self.location() + ".new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(lease.as_dict(), file, sort_keys=True)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            os.replace(fresh, self.location())

    @contextlib.contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(verb, error) from error

    def _error(self, verb: str, error: OSError) -> OncallError:
        denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        return (DeniedError if denied else OncallError)(
            "%s the lock %s" % (verb, self.name),
            on=self.location(),
            got="%s (uid %d)" % (error.strerror, os.geteuid()),
            next_step=(
                "use `become`, or give a directory that every operator's user on this host shares; "
                "two directories would be two locks"
                if denied
                else "make the directory usable on this host, or give another one to every controller"
            ),
        )
