# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dead letters: which are meant, and which of those are better left alone."""

from __future__ import annotations

__metaclass__ = type

import json
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError

WHAT = "queue dead letters again"


@dataclass(frozen=True)
class Letter:
    """One dead letter; `age` in seconds since it failed."""

    id: str
    kind: str
    payload: str
    key: str
    error: str
    age: float
    expired: bool

    def left_alone(self, chosen: "Choice") -> str:
        """Why it is not queued again although it was chosen, "" when it is."""
        if self.expired:
            return "it is past its use"
        if chosen.max_age_s and self.age > chosen.max_age_s:
            return "it failed %d h ago" % (self.age / 3600)
        if not self.key:
            return "it has no idempotency key, so it might run twice"
        try:
            json.loads(self.payload)
        except (TypeError, ValueError):
            return "its payload is not JSON"
        return ""


@dataclass(frozen=True)
class Choice:
    """Which letters are meant; what is empty does not choose."""

    ids: Sequence[str]
    kinds: Sequence[str]
    error: str
    max_age_s: float
    limit: int

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Choice":
        """Return what the options choose; raises UsageError when that is nothing, or cannot be read."""
        ids, kinds, error = params["ids"], params["kinds"], params["error"]
        if not (ids or kinds or error):
            raise UsageError(
                WHAT,
                got="ids, kinds and error are all empty",
                next_step="choose: kinds: [receipt], error: 'timed out', or ids; all at once is never right",
            )
        try:
            re.compile(error)
        except re.error as problem:
            got = "%r is no regular expression: %s" % (error, problem)
            raise UsageError("use the option error", got=got, next_step="correct it") from None
        return cls(ids, kinds, error, params["max_age_hours"] * 3600, params["limit"])

    def means(self, letter: Letter) -> bool:
        """Whether the letter is chosen."""
        if self.ids and letter.id not in self.ids:
            return False
        if self.kinds and letter.kind not in self.kinds:
            return False
        return bool(re.search(self.error, letter.error))


def shown(letter: Letter) -> Dict[str, Any]:
    """Return what may be shown of a letter: never its payload, which holds what customers wrote."""
    return {"id": letter.id, "kind": letter.kind, "error": letter.error[:200], "age_s": letter.age}
