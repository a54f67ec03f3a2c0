# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lease is, and the one small interface behind which each kind of lock keeps it."""

from __future__ import annotations

__metaclass__ = type

import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Any, ContextManager, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError

# Ticks are whole on a healthy machine; a second covers the rounding of a clock that counts coarsely.
_CLOCK_SLACK = 1.0


class LockHeldError(ConflictError):
    """Somebody else holds the lock. `holder` says who."""

    kind = "lock_held"


class LockLostError(ConflictError):
    """The lock is no longer the caller's: it ran out and was taken, or it was broken."""

    kind = "lock_lost"


@dataclass(frozen=True)
class Instant:
    """One reading of the clock of the machine that keeps the lease.

    `ticks` are seconds that no clock setting changes and that mean something only within one `boot`;
    `wall` is seconds since the epoch, for readers only.
    """

    boot: str
    ticks: float
    wall: float

    def text(self, later: float = 0.0) -> str:
        """Return the wall time `later` seconds on, as `2026-11-21T06:43:00Z`."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.wall + later))


@dataclass(frozen=True)
class Holder:
    """Who holds a lock and for what; `controller` is a host name, `pid` a process there."""

    run: str
    operator: str = ""
    controller: str = ""
    pid: int = 0
    what: str = ""
    since: str = ""

    def same_process(self, other: Holder) -> bool:
        """Whether both are the same run in the same process."""
        return (self.run, self.controller, self.pid) == (other.run, other.controller, other.pid)


@dataclass(frozen=True)
class Lease:
    """What is kept: who was the last to get the lock, and until when unless renewed.

    `token` grows with every new holder: whoever acts for a holder can refuse an older one. `ended` says how
    the holder lost or gave back the lock (`{how, at, by, reason}`); None while the lease may still hold.
    """

    token: int
    holder: Holder
    length: float
    boot: str
    expires: float
    until: str
    ended: Optional[Dict[str, str]] = None

    def left(self, now: Instant) -> float:
        """Return the seconds that the lease still holds: 0 when it ended, ran out or the host restarted."""
        if self.ended or self.boot != now.boot:
            return 0.0
        left = self.expires - now.ticks
        # More left than was ever given: the ticks began anew, so the machine restarted.
        return left if 0 < left <= self.length + _CLOCK_SLACK else 0.0

    def extended(self, now: Instant) -> Lease:
        """Return the lease renewed for its whole length from `now` on."""
        expires, until = now.ticks + self.length, now.text(self.length)
        return replace(self, boot=now.boot, expires=expires, until=until)

    def as_dict(self) -> Dict[str, Any]:
        """Return plain data that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Lease:
        """Return the lease that `as_dict` wrote; KeyError, TypeError or ValueError when it is none."""
        return cls(
            token=int(data["token"]),
            holder=Holder(**data["holder"]),
            length=float(data["length"]),
            boot=str(data["boot"]),
            expires=float(data["expires"]),
            until=str(data["until"]),
            ended=data["ended"],
        )


class LeaseStore(ABC):
    """Keeps the lease of one lock. Another kind of lock is a subclass with these five methods.

    Whatever `read` and `write` do between entering and leaving `exclusive` must be atomic against every
    other user of the same lock, on any machine.
    """

    kind = ""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = options

    @abstractmethod
    def location(self) -> str:
        """Return where the lease is kept, for messages."""

    @abstractmethod
    def now(self) -> Instant:
        """Return the time of the machine that keeps the lease."""

    @abstractmethod
    def exclusive(self) -> ContextManager[None]:
        """Keep everybody else from changing the lease within a `with` block."""

    @abstractmethod
    def read(self) -> Optional[Lease]:
        """Return the lease, None when there never was one; DamagedLeaseError when it cannot be read."""

    @abstractmethod
    def write(self, lease: Lease) -> None:
        """Store `lease` whole or not at all."""


class DamagedLeaseError(ConflictError):
    """What is stored is no lease: nobody can tell whether the lock is held."""

    kind = "lock_damaged"
