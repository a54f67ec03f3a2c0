# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Emergency writes: those that the inventory lists, by a token that ends with them; and taken back alike."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import json
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.access.calls import (
    MARK,
    WHAT,
    Call,
    Values,
    Why,
    at,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.access.client import (
    Administration,
    Token,
    sentence,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)


class Emergency:
    """One call of the module: the writes of one kind, done or taken back."""

    def __init__(
        self, api: Administration, call: Call, why: Why, keep: Callable[[Values], None] = lambda _: None
    ) -> None:
        self.api, self.call, self.why, self.keep = api, call, why, keep
        self.done: List[Dict[str, Any]] = []
        self.used: Values = {}

    def write(self, objects: Sequence[str], *, check_mode: bool) -> Values:
        """Make the call for each object that is not so yet, and return the module's result."""
        mode = self.api.status()
        before = {thing: self.call.seen(self.api, thing) for thing in objects}
        todo = [thing for thing in objects if not self.call.is_done(before[thing])]
        if todo and mode["read_only"] is False:
            raise ConflictError(
                WHAT,
                on=self.call.name,
                got="administrators may write: no break-glass access is needed",
                next_step="do it as on every day; nothing was changed",
                kind="not_read_only",
            )
        if not check_mode:
            self._end_left(mode["open"])
            self._with_token([(thing, before[thing], dict(self.call.wanted)) for thing in todo], self._call)
        return self._result(todo, before, {thing: dict(self.call.wanted) for thing in todo})

    def take_back(self, ledger: Sequence[Mapping[str, Any]], *, check_mode: bool) -> Values:
        """Take back what `ledger` says was written and is still so."""
        if self.call.undo is None:
            raise UsageError("take back %s" % self.call.name, got="it has no undo", next_step="do it by hand")
        mode = self.api.status()
        was = {str(entry["object"]): dict(entry["before"]) for entry in ledger}
        now = {thing: self.call.seen(self.api, thing) for thing in was}
        todo = [thing for thing in was if now[thing] != was[thing]]
        for thing in todo:
            if not self.call.is_done(now[thing]):
                raise ConflictError(
                    "take back %s" % self.call.name,
                    on=self.call.line(thing, dict(self.call.wanted)).strip(),
                    got="it is %s now" % self.call.line(thing, now[thing]).strip(),
                    next_step="somebody changed it since; look at it by hand (nothing was changed)",
                    kind="changed_since",
                )
        if not check_mode:
            self._end_left(mode["open"])
            steps = [(thing, now[thing], was[thing]) for thing in todo]
            self._with_token(steps, self._call_back, needed=mode["read_only"] is not False)
        result = self._result(todo, now, {thing: was[thing] for thing in todo})
        result.pop("undo", None)
        return result

    def _call(self, thing: str, token: Optional[Token]) -> None:
        self.api.write(self.call.method, at(self.call.path, thing), self.call.body, token)

    def _call_back(self, thing: str, token: Optional[Token]) -> None:
        back = self.call.undo or {}
        self.api.write(back.get("method", "POST"), at(str(back["path"]), thing), back.get("body"), token)

    def _end_left(self, tokens: Sequence[Mapping[str, str]]) -> None:
        """Make void what a run that was cut off left behind: nobody holds it any more."""
        for one in tokens:
            if MARK in one["reason"] and self.api.paths["revoke"]:
                self.api.revoke_id(one["id"])

    def _with_token(
        self,
        steps: Sequence[Tuple[str, Values, Values]],
        make: Callable[[str, Optional[Token]], None],
        *,
        needed: bool = True,
    ) -> None:
        if not steps:
            return
        token = self.api.start(self.why.reason, self.why.minutes) if needed else None
        if token is not None:
            self.used = {"id": token.id, "reason": self.why.reason, "until": token.until}
            self.keep(self.used)
        failure: Optional[OncallError] = None
        try:
            for thing, before, after in steps:
                self._make(thing, before, after, make, token)
        except OncallError as error:
            failure = error
        finally:
            # Also when somebody interrupts: a token that is good and that nobody holds is the worst of all.
            left = self._ended(token) if token is not None else ""
        if failure is not None:
            failure.changed, failure.undo = bool(self.done) or failure.changed, self._undo()
            failure.got = "; ".join(text for text in (failure.got, left) if text)
            raise failure
        if left:
            raise self._not_ended(left)

    def _make(
        self,
        thing: str,
        before: Values,
        after: Values,
        make: Callable[[str, Optional[Token]], None],
        token: Optional[Token],
    ) -> None:
        try:
            make(thing, token)
        finally:
            # Whatever was answered, or was not: what the object is now is what counts.
            now = self.call.seen(self.api, thing)
            if now == after:
                self.done.append({"object": thing, "before": before})
        if now != after:
            raise VerificationError(
                WHAT,
                on=at(self.call.look, thing),
                got="the write was taken, and the object is %s" % self.call.line(thing, now).strip(),
                next_step="look at it by hand",
                kind="not_written",
            )

    def _ended(self, token: Token) -> str:
        """Make the token void and see it refused; return what is wrong, "" when it is void."""
        until = "it is good until %s" % (token.until or "an unknown time")
        if not self.api.paths["revoke"]:
            self.used["revoked"] = False
            return ""
        try:
            self.api.revoke(token)
            good = self.api.is_good(token)
        except OncallError as error:
            return "token %s could not be revoked (%s), %s" % (token.id, error.got, until)
        self.used.update(revoked=True, refused=None if good is None else not good)
        return "token %s was revoked and is still taken, %s" % (token.id, until) if good else ""

    def _not_ended(self, left: str) -> OncallError:
        error = VerificationError(
            "end the break-glass access",
            on=self.call.name,
            got="what was asked for is written, but %s" % left,
            next_step="revoke it by hand, or by this runbook's mitigation revoke-open",
            kind="still_open",
        )
        error.changed, error.undo = True, self._undo()
        return error

    def _undo(self) -> Optional[Values]:
        if not self.done:
            return None
        if self.call.undo is None:
            return {"summary": "%s has no way back" % self.call.name, "reversible": False}
        return {
            "summary": "%s of %s is taken back, with a token of its own"
            % (self.call.name, ", ".join(str(entry["object"]) for entry in self.done)),
            "reversible": True,
            "role": "oncall.runbooks.access",
            "entry_point": "write_undo",
            "args": dict(self.why.given, call=self.call.name, ledger=self.done),
        }

    def _result(
        self, todo: Sequence[str], before: Mapping[str, Values], after: Mapping[str, Values]
    ) -> Values:
        told = "%d objects are written with a token that is good for %d minutes at most, and revoked at once"
        result: Values = {
            "changed": bool(todo),
            "written": list(todo),
            "access": self.used,
            "prediction": {
                "summary": told % (len(todo), self.why.minutes) if todo else "all of it is so already",
                "data_loss": "none",
            },
            "diff": {
                "before": "".join(self.call.line(thing, before[thing]) for thing in todo),
                "after": "".join(self.call.line(thing, after[thing]) for thing in todo),
            },
        }
        if self._undo():
            result["undo"] = self._undo()
        return dict(result, evidence=self.evidence) if self.used else result

    @property
    def evidence(self) -> List[Values]:
        """What the record keeps of the access: which token, why and until when; never the token."""
        if not self.used:
            return []
        content = json.dumps(dict(self.used, call=self.call.name), indent=1, sort_keys=True) + "\n"
        told = "break-glass token %(id)s: %(reason)s; good until %(until)s" % self.used
        entry = {
            "name": "break-glass-%s.json" % (self.used["id"] or "access"),
            "content": content,
            "sha256": hashlib.sha256(content.encode("utf-8")).hexdigest(),
            "summary": told + (", revoked before that" if self.used.get("revoked") else ""),
        }
        return [entry]


def revoke_open(api: Administration, ids: Sequence[str], *, check_mode: bool) -> Values:
    """Make void every token that is good, or those of `ids`, and return the module's result."""
    if not (api.paths["status"] and api.paths["revoke"]):
        raise UsageError(
            "revoke break-glass tokens",
            got="paths.status or paths.revoke is empty, so the application cannot be asked",
            next_step="wait until they expire, or revoke them by hand",
        )
    found = [one for one in api.status()["open"] if not ids or one["id"] in ids]
    if not check_mode:
        for one in found:
            api.revoke_id(one["id"])
        left = [one for one in api.status()["open"] if one["id"] in [was["id"] for was in found]]
        if left:
            error = VerificationError(
                "revoke break-glass tokens",
                got="still good: %s" % sentence(left),
                next_step="have the Backend Lead end them in the database",
            )
            error.changed = len(left) < len(found)
            raise error
    lines = "".join("%s\n" % sentence([one]) for one in found)
    return {
        "changed": bool(found),
        "revoked": found,
        "prediction": {"summary": "%d tokens are void" % len(found), "data_loss": "none"},
        "diff": {"before": lines, "after": ""} if found else {},
    }
