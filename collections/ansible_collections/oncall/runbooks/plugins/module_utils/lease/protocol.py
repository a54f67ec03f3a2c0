# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take, renew, give back, break and look at a lock: the same rules for every kind of store."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import time
from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Optional, Type

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.base import (
    DamagedLeaseError,
    Holder,
    Instant,
    Lease,
    LeaseStore,
    LockHeldError,
    LockLostError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.file import FileStore

KINDS: Dict[str, Type[LeaseStore]] = {FileStore.kind: FileStore}
"""Every kind of lock by name."""

_WAIT_INTERVAL = 0.25


def open_store(options: Mapping[str, Any]) -> LeaseStore:
    """Return the store of the lock that `options` (`kind`, `name` and what that kind needs) name."""
    return KINDS[options["kind"]](options["name"], options)


class LockProtocol:
    """What a caller may do with the lock in `store`; with `dry` nothing is written.

    Each method returns `{changed, lock, diff}`, changed when somebody else or nobody holds the lock now;
    `sleep` and `clock` (monotonic seconds) serve waiting only.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        dry: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self.dry, self._sleep, self._clock = store, dry, sleep, clock

    def perform(self, state: str, options: Mapping[str, Any]) -> Dict[str, Any]:
        """Bring the lock to `state`: acquired, renewed, released, broken or info (= only look)."""
        if state == "info":
            return self.info()
        if state == "broken":
            return self.break_(
                options["operator"], options["reason"], expected_holder=options.get("expected_holder")
            )
        holder = Holder(*(options[k] for k in ("run", "operator", "controller", "pid", "what")))
        if state == "acquired":
            return self.acquire(holder, options["lease"], wait=options.get("wait") or 0)
        token = options.get("token")
        if token is None:
            raise UsageError("bring the lock %s to %s" % (self.store.name, state), got="no token was given")
        return self.renew(holder.run, token) if state == "renewed" else self.release(holder.run, token)

    def acquire(self, holder: Holder, length: float, *, wait: float = 0) -> Dict[str, Any]:
        """Take the lock for `length` seconds; while another holds it try again for `wait` seconds."""
        deadline = self._clock() + (0 if self.dry else wait)
        while True:
            try:
                return self._acquire(holder, length)
            except LockHeldError:
                if self._clock() >= deadline:
                    raise
            self._sleep(_WAIT_INTERVAL)

    def _acquire(self, holder: Holder, length: float) -> Dict[str, Any]:
        with self._exclusive():
            now, before = self.store.now(), self.store.read()
            if before is not None and before.left(now) > 0:
                if before.holder.same_process(holder):
                    return self._store(before, before.extended(now))
                raise self._held(before, now)
            # After a lost file the count starts at the time, so a token never comes a second time.
            token = before.token + 1 if before else int(now.wall)
            taken = Lease(token, replace(holder, since=now.text()), length, now.boot, 0.0, "").extended(now)
            return self._store(before, taken)

    def renew(self, run: str, token: int) -> Dict[str, Any]:
        """Extend the lease of `run`. Also after it ran out, as long as nobody else had it meanwhile."""
        with self._exclusive():
            before = self.store.read()
            if before is None or not _belongs(before, run, token) or before.ended:
                raise self._lost(before, run)
            return self._store(before, before.extended(self.store.now()))

    def release(self, run: str, token: int) -> Dict[str, Any]:
        """Give the lock back. What is no longer the caller's stays as it is."""
        with self._exclusive():
            before = self.store.read()
            if before is None or not _belongs(before, run, token) or before.ended:
                return self._reply(before, before)
            ended = _end("released", self.store.now(), before.holder.operator)
            return self._store(before, replace(before, ended=ended))

    def break_(self, by: str, reason: str, *, expected_holder: Optional[str] = None) -> Dict[str, Any]:
        """Take the lock away from whoever holds it; with `expected_holder` only from that run."""
        with self._exclusive():
            now = self.store.now()
            try:
                before = self.store.read()
            except DamagedLeaseError:
                before = _unreadable(now)
            if before is None or before.left(now) == 0:
                return self._reply(before, before)
            if expected_holder and before.holder.run not in (expected_holder, ""):
                raise self._held(before, now)
            return self._store(before, replace(before, ended=_end("broken", now, by, reason)))

    def info(self) -> Dict[str, Any]:
        """Say who holds the lock, if anybody."""
        lease = self.store.read()
        return self._reply(lease, lease)

    def _exclusive(self) -> Any:
        return contextlib.nullcontext() if self.dry else self.store.exclusive()

    def _store(self, before: Optional[Lease], after: Lease) -> Dict[str, Any]:
        if not self.dry:
            self.store.write(after)
        return self._reply(before, after)

    def _reply(self, before: Optional[Lease], after: Optional[Lease]) -> Dict[str, Any]:
        now = self.store.now()
        diff = {"before": self._line(before, now), "after": self._line(after, now)}
        return {"changed": diff["before"] != diff["after"], "lock": self._shown(after, now), "diff": diff}

    def _shown(self, lease: Optional[Lease], now: Instant) -> Dict[str, Any]:
        left = lease.left(now) if lease else 0.0
        shown: Dict[str, Any] = {
            "name": self.store.name,
            "kind": self.store.kind,
            "location": self.store.location(),
            "held": left > 0,
            "left_s": round(left, 1),
            "token": lease.token if lease else None,
            "holder": None,
            "last": None,
        }
        if lease is not None:
            who = dict(vars(lease.holder), until=lease.until)
            shown["holder" if left > 0 else "last"] = who
            if left == 0:
                who["ended"] = lease.ended or {"how": "ran out", "at": lease.until, "by": "", "reason": ""}
        return shown

    def _line(self, lease: Optional[Lease], now: Instant) -> str:
        if lease is None or lease.left(now) == 0:
            return "lock %s: free\n" % self.store.name
        return "lock %s: held by run %s\n" % (self.store.name, lease.holder.run)

    def _held(self, lease: Lease, now: Instant) -> OncallError:
        return LockHeldError(
            "take the lock %s" % self.store.name,
            on=self.store.location(),
            got="it is held by %s; its lease has %.0f s left and is renewed while that run lives"
            % (describe(lease.holder, lease.until), max(lease.left(now), 1)),
            next_step="wait until that run has ended; if it is certainly dead, wait for the end of its lease "
            "or break the lock",
        )

    def _lost(self, lease: Optional[Lease], run: str) -> OncallError:
        return LockLostError(
            "renew the lock %s for run %s" % (self.store.name, run),
            on=self.store.location(),
            got=_how_lost(lease, run),
            next_step="change nothing more from this run; look who holds the lock and what was changed",
        )


def describe(holder: Holder, until: str) -> str:
    """Return one phrase that says who, for what, from where and how long."""
    text = "run %s" % holder.run
    if holder.operator:
        text += " of %s" % holder.operator
    if holder.controller:
        text += " on %s (pid %d)" % (holder.controller, holder.pid)
    if holder.what:
        text += ", for %s" % holder.what
    return "%s, since %s, until %s" % (text, holder.since, until)


def _end(how: str, at: Instant, by: str, reason: str = "") -> Dict[str, str]:
    return {"how": how, "at": at.text(), "by": by, "reason": reason}


def _belongs(lease: Lease, run: str, token: int) -> bool:
    return (lease.holder.run, lease.token) == (run, token)


def _how_lost(lease: Optional[Lease], run: str) -> str:
    if lease is None:
        return "the lease is gone: somebody removed it, or the host restarted"
    if lease.holder.run != run:
        return "it ran out and was taken by %s" % describe(lease.holder, lease.until)
    ended = lease.ended or {"how": "taken anew by the same run", "at": lease.until, "by": "", "reason": ""}
    by = " by %s" % ended["by"] if ended["by"] else ""
    why = " (%s)" % ended["reason"] if ended["reason"] else ""
    return "it was %s%s at %s%s" % (ended["how"], by, ended["at"], why)


def _unreadable(now: Instant) -> Lease:
    """Return a held lease that stands for one that cannot be read, so that breaking it makes it whole."""
    holder = Holder(run="", what="a lease that could not be read")
    return Lease(int(now.wall), holder, 1.0, now.boot, 0.0, "").extended(now)
