# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which emergency writes are allowed, on what, and for which reason."""

from __future__ import annotations

__metaclass__ = type

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.access.client import Administration
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError

Values = Dict[str, Any]
_OBJECT = r"[A-Za-z0-9_-]{1,64}"
#: what the reason of each token has that a run asked for; such a token is nobody else's
MARK = "[oncall "
WHAT = "make the emergency write"


@dataclass(frozen=True)
class Call:
    """A write that is allowed: how it is made, how its object is looked at, and what that says then.

    undo: method, path and body of the write that takes it back, None where there is none.
    """

    name: str
    method: str
    path: str
    body: Mapping[str, Any]
    look: str
    wanted: Mapping[str, Any]
    undo: Optional[Mapping[str, Any]]

    @classmethod
    def chosen(cls, listed: Sequence[Mapping[str, Any]], name: str) -> "Call":
        """Return the call of that name; raises UsageError when the inventory does not list it."""
        for one in listed:
            if one["name"] == name:
                given = {key: one[key] for key in ("name", "method", "path", "look", "wanted")}
                return cls(body=one["body"] or {}, undo=one["undo"], **given)
        there = ", ".join(one["name"] for one in listed) or "none"
        raise UsageError(
            WHAT,
            on=name or "no call given",
            got="it is not among the calls that are allowed: %s" % there,
            next_step="choose one of these, or have the owner of the inventory add it; nothing was asked for",
        )

    def seen(self, api: Administration, thing: str) -> Values:
        """Return the fields of the object that the call changes."""
        found = api.look(at(self.look, thing))
        return {key: found.get(key) for key in self.wanted}

    def is_done(self, now: Values) -> bool:
        """Whether the object is as the call makes it."""
        return now == dict(self.wanted)

    def line(self, thing: str, now: Values) -> str:
        """One line of a diff."""
        told = ", ".join("%s=%s" % item for item in sorted(now.items()))
        return "%s: %s\n" % (at(self.look, thing), told)


def at(path: str, thing: str) -> str:
    """Return the path of an object."""
    return path.replace("{id}", thing)


def require_objects(objects: Sequence[str], limit: int) -> List[str]:
    """Return the objects, each once; raises UsageError for none, too many, or one that is no plain id."""
    wanted = list(dict.fromkeys(str(one) for one in objects))
    odd = [one for one in wanted if not re.fullmatch(_OBJECT, one)]
    if not wanted or odd or len(wanted) > limit:
        got = "%d objects are given, and %d is the limit" % (len(wanted), limit)
        if odd:
            got = "%r is no id: only letters, digits, - and _" % odd[0]
        raise UsageError(WHAT, got=got, next_step="name the objects by their ids; nothing was asked for")
    return wanted


@dataclass(frozen=True)
class Why:
    """Who wants it and why, and how long a token may be good (minutes).

    reason: as the application is told; given: what the operator said of it, for an undo.
    """

    reason: str
    minutes: int
    given: Mapping[str, str]

    @classmethod
    def from_options(cls, options: Mapping[str, Any], asked_by: str, run: str) -> "Why":
        """Return the reason that the application is told; raises UsageError where something is missing."""
        names = ("reason", "incident", "approver")
        missing = [name for name in names if not options[name].strip()]
        if missing:
            raise UsageError(
                "ask for a break-glass token",
                got="%s is empty" % ", ".join(missing),
                next_step="say why, for which incident and with whose approval; nothing was asked for",
            )
        minutes, most = options["ttl_minutes"], options["max_ttl_minutes"]
        if not 0 < minutes <= most:
            raise UsageError(
                "ask for a break-glass token",
                on="%d minutes" % minutes,
                got="it may be good for 1 to %d minutes" % most,
                next_step="give a shorter ttl_minutes; nothing was asked for",
            )
        said = [options[name].strip() for name in names]
        text = "%s; incident %s, approved by %s, asked for by %s %s%s]" % (
            *said,
            asked_by,
            MARK,
            run or "by hand",
        )
        return cls(text, minutes, dict(zip(names, said)))  # noqa: B905 - Python 3.8
