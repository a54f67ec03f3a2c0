# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exchange a secret: keep the old one where that is allowed, write, start the services, prove, or go back."""

from __future__ import annotations

__metaclass__ = type

import secrets
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.secret import told
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.base import Destination, Receipt
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.checks import (
    SHORTEST,
    Check,
    baseline,
    prove,
    too_short,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.consumers import Consumers
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.private import Kept, PrivateCopy

LONGEST = 512


class RotationError(VerificationError):
    """It was not proved; `changed` says whether the old secret is gone, `undo` how that is taken back."""


@dataclass(frozen=True)
class Rotation:
    """All that a rotation acts on. `within`: seconds in which the services have to take the new secret."""

    destination: Destination
    consumers: Consumers
    checks: Sequence[Check]
    copy: PrivateCopy
    within: float
    breach: bool = False

    @classmethod
    def from_options(
        cls, options: Mapping[str, Any], destination: Destination, consumers: Consumers
    ) -> "Rotation":
        """Return the rotation that a module's options state."""
        name = options["destination"].get("key") or "value"
        return cls(
            destination,
            consumers,
            [Check.from_options(one) for one in options["verify"]],
            PrivateCopy(options["private_dir"], str(options["run"] or ""), name, destination.place),
            options["timeout"],
            options["breach"],
        )

    def rotate(self, length: int, *, check_mode: bool) -> Dict[str, Any]:
        """Put a new secret of `length` characters in place and return the module's result.

        Raises OncallError; its `changed` says whether the old secret is, or may be, out of place.
        """
        _check_length(length)
        self._ready()
        found = self._found()
        result = told.rotated(self.destination.place, self.consumers.names, found, length)
        result["undo"] = self._undo(found, {})
        if check_mode:
            return result
        new = secrets.token_hex((length + 1) // 2)[:length]
        earlier = self._mark(found, new)
        try:
            receipt = self.destination.store(new)
        except OncallError as exc:
            raise self._not_stored(exc, found, earlier) from None
        result.update(self._settle(found, new, receipt))
        self._settled(proved=True)
        result["undo"] = self._undo(found, receipt)
        if self.breach:
            self.destination.forget(receipt)
        left = self.destination.copies(found.now) if found.now else []
        if left:
            result["warnings"] = ["the old secret still stands in %s: remove it there" % ", ".join(left)]
        return result

    def _found(self) -> told.Found:
        """Look at what there is. What a run put in place and never saw proved is nothing to go back to."""
        now = self.destination.current() or ""
        stopped = self.copy.attempt_at(now) if self._marks else None
        old, why = (stopped.old, stopped.why) if stopped else (now, "")
        before = baseline(self.checks, old)
        return told.Found(now, old, why or self._no_way_back(old, before), before)

    def _no_way_back(self, old: str, before: List[Dict[str, Any]]) -> str:
        if self.breach:
            return "it leaked"
        return too_short(old, self.checks, before) if old else "there was none"

    def _undo(self, found: told.Found, receipt: Receipt) -> Dict[str, Any]:
        return told.undo(self.destination.place, self.copy.run, found.why, receipt)

    def _mark(self, found: told.Found, new: str) -> Optional[Kept]:
        """Keep the old secret, or note why not; return what an attempt of the same run had kept."""
        if not self._marks:
            return None
        try:
            earlier = self.copy.read() if self.copy.exists() else None
            self.copy.write("" if found.why else found.old, new, found.why)
        except OncallError:
            # Without an old secret it only tells a later run that there is no way back.
            if not found.why:
                raise
            return None
        return earlier

    @property
    def _marks(self) -> bool:
        return not (self.breach or self.destination.keeps_old)

    def _settled(self, *, proved: bool) -> None:
        if self._marks and self.copy.exists():
            self.copy.settle(proved=proved)

    def _not_stored(self, cause: OncallError, found: told.Found, earlier: Optional[Kept]) -> OncallError:
        """Return the error for a secret that was not stored; whether it was all the same is asked again."""
        try:
            same = (self.destination.current() or "") == found.now
        except OncallError:
            same = False
        if same and self._marks:
            self.copy.put(earlier)
        if same:
            return cause
        got = "%s It is not known which secret is in place" % cause.message
        return self._error(got, "look there", self._undo(found, {}))

    def _error(self, got: str, next_step: str, undo: Optional[Dict[str, Any]]) -> RotationError:
        """Return the error of a rotation; `undo`: how what is left is taken back, None where nothing is."""
        error = RotationError("rotate the secret", on=self.destination.place, got=got, next_step=next_step)
        error.changed, error.undo = undo is not None, undo
        return error

    def take_back(self, receipt: Receipt, *, check_mode: bool) -> Dict[str, Any]:
        """Put the secret from before a rotation in place again and return the module's result."""
        self._ready()
        now = self.destination.current() or ""
        elsewhere = self._taken_over(check_mode=check_mode)
        if elsewhere:
            return elsewhere
        old = (self.destination.old_of(receipt) or "") if self.destination.keeps_old else self.copy.old(now)
        before = baseline(self.checks, now)
        what = "the secret from before is put back"
        result = told.exchanged(self.destination.place, self.consumers.names, what, now, before)
        if check_mode:
            return result
        if now != old:
            self.destination.put_back(old, receipt)
        try:
            result["evidence"] = self.consumers.recreate([old, now])
            result["verified"] = prove(self.checks, old, now if now != old else "", within=self.within)
        except OncallError as exc:
            error = RotationError(
                "put the secret from before back",
                on=self.destination.place,
                got="%s It is in the file, and not proved" % exc.message,
                next_step="see why the services do not take it, then run the undo again or rotate",
            )
            error.changed = True
            raise error from None
        self._settled(proved=False)
        result["undo"] = {
            "summary": "Rotate again: the secret that was taken back is gone.",
            "reversible": False,
        }
        return result

    def _taken_over(self, *, check_mode: bool) -> Optional[Dict[str, Any]]:
        """Return the result for a run whose attempt a later one brought to its end, None for any other."""
        other = self.copy.read().settled_by if self._marks and self.copy.exists() else ""
        if not other:
            return None
        if not check_mode:
            if replace(self.copy, run=other).exists():
                raise ConflictError(
                    "put the secret from before back",
                    on=self.destination.place,
                    got="run %s went on with this rotation" % other,
                    next_step="take that run back: it goes back to the secret from before both",
                )
            self.copy.remove()
        return told.nothing_left(self.destination.place, other)

    def release(self, *, check_mode: bool) -> Dict[str, Any]:
        """Delete the private copy of the old secret: from then on the rotation cannot be taken back."""
        there = self.copy.exists() if check_mode else self.copy.remove()
        said = "the private copy of the old secret is deleted" if there else "no private copy is kept"
        return {
            "changed": there,
            "evidence": [],
            "prediction": {"summary": "%s: %s" % (self.copy.path, said), "data_loss": "none"},
            "diff": {"before": self.copy.path + "\n" if there else "", "after": ""},
        }

    def _ready(self) -> None:
        if not self.checks:
            raise UsageError(
                "exchange the secret",
                on=self.destination.place,
                got="there is no check, so nobody would know which secret the services take",
                next_step="set verify to the addresses that want a valid token",
            )
        self.consumers.look()

    def _settle(self, found: told.Found, new: str, receipt: Receipt) -> Dict[str, Any]:
        bad = found.old or found.now
        try:
            evidence = self.consumers.recreate([bad, new])
            verified = prove(self.checks, new, bad, within=self.within)
        except OncallError as exc:
            raise self._gone_back(exc, found, receipt) from None
        return {"evidence": evidence, "verified": verified}

    def _gone_back(self, cause: OncallError, found: told.Found, receipt: Receipt) -> RotationError:
        """Put the old secret back where it may come back; return the error that says what is in place now."""
        undo = self._undo(found, receipt)
        if found.why:
            stays = "The new secret is in place and stays: the old one does not come back, %s" % found.why
            return self._error("%s %s" % (cause.message, stays), "see why the services do not take it", undo)
        try:
            self.destination.put_back(found.old, receipt)
            self.consumers.recreate([found.old])
            self._as_before(found.old, found.baseline)
        except OncallError as exc:
            got = "%s And the old secret is not proved to be back: %s" % (cause.message, exc.message)
            return self._error(got, "take it back with the recorded undo when the services run again", undo)
        self._settled(proved=False)
        got = "%s The old secret is back and the services were started with it" % cause.message
        return self._error(got, "remove the cause, then run it again", None)

    def _as_before(self, old: str, before: List[Dict[str, Any]]) -> None:
        # What did not take the old secret before the rotation cannot prove that it is back.
        took = {one["url"] for one in before if one["old"] == "accepted"}
        prove([check for check in self.checks if check.url in took], old, "", within=self.within)


def carry_out(rotation: Rotation, options: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Do what the option `state` says and return the module's result."""
    if options["state"] == "rotated":
        return rotation.rotate(options["length"], check_mode=check_mode)
    if options["state"] == "undone":
        return rotation.take_back(options["receipt"], check_mode=check_mode)
    return rotation.release(check_mode=check_mode)


def _check_length(length: int) -> None:
    if SHORTEST <= length <= LONGEST:
        return
    raise UsageError(
        "generate a secret",
        got="%d characters were asked for, it has to be %d to %d" % (length, SHORTEST, LONGEST),
        next_step="set length (of the role: secret_length) to 64",
    )
