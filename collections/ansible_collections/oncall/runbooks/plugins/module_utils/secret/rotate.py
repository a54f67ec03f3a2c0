# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exchange a secret: keep the old one where that is allowed, write, start the services, prove, or go back."""

from __future__ import annotations

__metaclass__ = type

import secrets
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.base import Destination, Receipt
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.checks import Check, baseline, prove
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.consumers import Consumers
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.private import PrivateCopy

SHORTEST = 32
LONGEST = 512
_VOID = "every token that was made with the old secret is void: everybody logs in again"


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
            PrivateCopy(options["private_dir"], str(options["run"] or ""), name),
            options["timeout"],
            options["breach"],
        )

    def rotate(self, length: int, *, check_mode: bool) -> Dict[str, Any]:
        """Put a new secret of `length` characters in place and return the module's result.

        Raises OncallError; its `changed` says whether the old secret is, or may be, out of place.
        """
        _check_length(length)
        self._ready()
        old = self.destination.current() or ""
        before = baseline(self.checks, old)
        result = self._predicted(old, length, before)
        if check_mode:
            return result
        new = secrets.token_hex((length + 1) // 2)[:length]
        keep = bool(old) and not self.breach and not self.destination.keeps_old
        if keep:
            self.copy.write(old, new)
        try:
            receipt = self.destination.store(new)
        except OncallError as exc:
            raise self._not_stored(exc, old) from None
        result.update(self._settle(old, new, receipt, before))
        result["undo"] = self._undo(bool(old), receipt)
        if self.breach:
            self.destination.forget(receipt)
        left = self.destination.copies(old) if old else []
        if left:
            result["warnings"] = ["the old secret still stands in %s: remove it there" % ", ".join(left)]
        return result

    def _not_stored(self, cause: OncallError, old: str) -> OncallError:
        """Return the error for a secret that was not stored; whether it was all the same is asked again."""
        try:
            same = (self.destination.current() or "") == old
        except OncallError:
            same = False
        if same:
            self.copy.remove()
            return cause
        got = "%s It is not known which secret is in place" % cause.message
        error = RotationError("rotate the secret", on=self.destination.place, got=got, next_step="look there")
        error.changed = True
        return error

    def take_back(self, receipt: Receipt, *, check_mode: bool) -> Dict[str, Any]:
        """Put the secret from before a rotation in place again and return the module's result."""
        self._ready()
        new = self.destination.current() or ""
        old = self.destination.old_of(receipt) if self.destination.keeps_old else self.copy.old(new)
        before = baseline(self.checks, new)
        result = self._described("the secret from before is put back", old or "", before)
        if check_mode:
            return result
        self.destination.put_back(old or "", receipt)
        try:
            result["evidence"] = self.consumers.recreate([old or "", new])
            result["verified"] = prove(self.checks, old or "", new, within=self.within)
        except OncallError as exc:
            error = RotationError(
                "put the secret from before back",
                on=self.destination.place,
                got="%s It is in the file, and not proved" % exc.message,
                next_step="see why the services do not take it, then run the undo again or rotate",
            )
            error.changed = True
            raise error from None
        self.copy.remove()
        result["undo"] = {
            "summary": "Rotate again: the secret that was taken back is gone.",
            "reversible": False,
        }
        return result

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

    def _settle(self, old: str, new: str, receipt: Receipt, before: List[Dict[str, Any]]) -> Dict[str, Any]:
        evidence: List[Dict[str, Any]] = []
        try:
            evidence = self.consumers.recreate([old, new])
            verified = prove(self.checks, new, old, within=self.within)
        except OncallError as exc:
            raise self._gone_back(exc, old, receipt, before) from None
        return {"evidence": evidence, "verified": verified}

    def _gone_back(
        self, cause: OncallError, old: str, receipt: Receipt, before: List[Dict[str, Any]]
    ) -> RotationError:
        """Put the old secret back unless it leaked, and return the error that says what is in place now."""
        tried, place = "rotate the secret", self.destination.place
        if self.breach or not old:
            why = "it leaked" if self.breach else "there was none"
            got = "%s The new secret is in place and stays: the old one must not come back, %s" % (
                cause.message,
                why,
            )
            error = RotationError(tried, on=place, got=got, next_step="see why the services do not take it")
            error.changed = True
            return error
        try:
            self.destination.put_back(old, receipt)
            self.consumers.recreate([old])
            self._as_before(old, before)
        except OncallError as exc:
            got = "%s And the old secret is not proved to be back: %s" % (cause.message, exc.message)
            next_step = "take it back with the recorded undo when the services run again"
            error = RotationError(tried, on=place, got=got, next_step=next_step)
            error.changed, error.undo = True, self._undo(True, receipt)
            return error
        self.copy.remove()
        got = "%s The old secret is back and the services were started with it" % cause.message
        return RotationError(tried, on=place, got=got, next_step="remove the cause, then run it again")

    def _as_before(self, old: str, before: List[Dict[str, Any]]) -> None:
        # What did not take the old secret before the rotation cannot prove that it is back.
        took = {one["url"] for one in before if one["old"] == "accepted"}
        prove([check for check in self.checks if check.url in took], old, "", within=self.within)

    def _predicted(self, old: str, length: int, before: List[Dict[str, Any]]) -> Dict[str, Any]:
        result = self._described("a new secret of %d characters is put in place" % length, old, before)
        result["diff"]["after"] = "(a new secret of %d characters)\n" % length
        result["undo"] = self._undo(bool(old), {})
        return result

    def _described(self, what: str, old: str, before: List[Dict[str, Any]]) -> Dict[str, Any]:
        order = ", ".join(self.consumers.names) or "no service"
        return {
            "changed": True,
            "baseline": before,
            "prediction": {
                "summary": "%s: %s; started again in this order: %s" % (self.destination.place, what, order),
                "data_loss": _VOID,
            },
            "diff": {
                "before": "(a secret of %d characters)\n" % len(old) if old else "(no secret)\n",
                "after": "(the secret from before)\n",
            },
            "evidence": [],
        }

    def _undo(self, had_one: bool, receipt: Receipt) -> Dict[str, Any]:
        if self.breach or not had_one:
            why = (
                "The old secret leaked and must not come back."
                if self.breach
                else "There was no secret before."
            )
            return {"summary": "%s No copy of it was kept." % why, "reversible": False}
        return {
            "summary": "Put the secret of %s from before back." % self.destination.place,
            "reversible": True,
            "role": "oncall.runbooks.secret",
            "entry_point": "undo",
            "args": {"run": self.copy.run, "receipt": receipt},
        }


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
