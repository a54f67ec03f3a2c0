# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""See from outside, as a user does, which origin answers."""

from __future__ import annotations

__metaclass__ = type

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import http

# Nothing on the way may answer in the origin's place.
_FRESH = {"Cache-Control": "no-cache"}


@dataclass(frozen=True)
class Probe:
    """What is asked: `times` good answers in a row, `interval` seconds apart, all of them `within` seconds.

    served_by_header: the answer's header that names the origin (empty = it cannot be told); served_by: what
    that header says for an origin, as a regular expression (default: the origin's own name).
    """

    url: str
    times: int = 5
    interval: float = 1.0
    within: float = 60.0
    timeout: float = 5.0
    status: Tuple[int, ...] = (200,)
    served_by_header: str = ""
    served_by: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Probe":
        """Return the probe that a module's options state."""
        given = {name: options[name] for name in cls.__dataclass_fields__ if options.get(name) is not None}
        given["status"] = tuple(given.get("status") or cls.status)
        return cls(**given)


@dataclass(frozen=True)
class Seen:
    """One answer: why it is not good ("" = good), and the origin that it names (None = it names none)."""

    problem: str
    origin: Optional[str]


Ask = Callable[[Probe], Seen]


def ask(probe: Probe) -> Seen:
    """Ask once, on a connection of its own."""
    answer = http.ask(
        probe.url,
        timeout=probe.timeout,
        expect=http.Expectation(probe.status),
        headers=dict(_FRESH, **probe.headers),
    )
    return Seen(answer.problem, answer.headers.get(probe.served_by_header.lower()))


def prove(
    probe: Probe,
    target: str,
    *,
    look: Ask = ask,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Dict[str, Any]:
    """Ask until `times` answers in a row are good and come from `target`; return what was seen.

    Raises VerificationError with the last answer and the count of answers by origin when the time is over.
    """
    deadline, in_row = clock() + probe.within, 0
    answers: List[str] = []
    while True:
        seen = look(probe)
        answers.append(seen.origin if seen.origin is not None else "unknown")
        problem = seen.problem or _stranger(probe, target, seen.origin)
        in_row = 0 if problem else in_row + 1
        if in_row >= probe.times:
            return _told(probe, answers, in_row)
        if clock() + probe.interval > deadline:
            raise _unproved(probe, target, problem, answers, in_row)
        sleep(probe.interval)


def _stranger(probe: Probe, target: str, origin: Optional[str]) -> str:
    if not probe.served_by_header or not target:
        return ""
    if origin is None:
        return "the answer has no header %s" % probe.served_by_header
    wanted = probe.served_by.get(target, re.escape(target))
    return "" if re.fullmatch(wanted, origin) else "%s answers" % origin


def _told(probe: Probe, answers: List[str], in_row: int) -> Dict[str, Any]:
    told = bool(probe.served_by_header)
    return {
        "url": probe.url,
        "asked": len(answers),
        "good_in_row": in_row,
        "answered_by": dict(Counter(answers)) if told else {},
        "origin_told": told,
    }


def _unproved(probe: Probe, target: str, problem: str, answers: List[str], in_row: int) -> VerificationError:
    counted = ", ".join("%s %d" % pair for pair in sorted(Counter(answers).items()))
    last = problem or "only %d good answers in a row, %d are wanted" % (in_row, probe.times)
    return VerificationError(
        "see from outside that %s answers" % (target or "an origin"),
        on=probe.url,
        got="after %g s and %d requests: %s (answered by: %s)" % (probe.within, len(answers), last, counted),
        next_step="see whether %s itself serves this address" % (target or "it"),
    )
