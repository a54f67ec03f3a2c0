# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a rotation, and what takes it back, says of itself: lengths and reasons, never a secret."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.secret.base import Receipt

_VOID = "every token that was made with the old secret is void: everybody logs in again"


@dataclass(frozen=True)
class Found:
    """What there was before a rotation: the secret in place `now`, and what each address says of `old`.

    old: the secret that an undo goes back to; why: why it cannot come back, "" when it can.
    """

    now: str
    old: str
    why: str
    baseline: List[Dict[str, Any]]


def rotated(place: str, names: Sequence[str], found: Found, length: int) -> Dict[str, Any]:
    """Return what a module's result says of a rotation, before and after it."""
    result = exchanged(
        place, names, "a new secret of %d characters is put in place" % length, found.now, found.baseline
    )
    result["diff"]["after"] = "(a new secret of %d characters)\n" % length
    if found.why:
        result["prediction"]["summary"] += "; the old one cannot be put back: %s" % found.why
    return result


def exchanged(
    place: str, names: Sequence[str], what: str, now: str, before: List[Dict[str, Any]]
) -> Dict[str, Any]:
    """Return what a module's result says when `what` happens to the secret that is in place `now`."""
    order = ", ".join(names) or "no service"
    return {
        "changed": True,
        "baseline": before,
        "prediction": {
            "summary": "%s: %s; started again in this order: %s" % (place, what, order),
            "data_loss": _VOID,
        },
        "diff": {
            "before": "(a secret of %d characters)\n" % len(now) if now else "(no secret)\n",
            "after": "(the secret from before)\n",
        },
        "evidence": [],
    }


def nothing_left(place: str, other: str) -> Dict[str, Any]:
    """Return the result of taking back an attempt that the run `other` brought to its end."""
    said = "run %s went on with this rotation, and what takes that back takes back both" % other
    return {
        "changed": False,
        "evidence": [],
        "prediction": {"summary": "%s: %s" % (place, said), "data_loss": "none"},
        "diff": {"before": "", "after": ""},
    }


def undo(place: str, run: str, why: str, receipt: Receipt) -> Dict[str, Any]:
    """Return how a rotation of `run` is taken back, or `why` it cannot be."""
    if why:
        summary = "The old secret is not put back: %s. No copy of it was kept." % why
        return {"summary": summary, "reversible": False, "no_way_back": True}
    return {
        "summary": "Put the secret of %s from before back." % place,
        "reversible": True,
        "role": "oncall.runbooks.secret",
        "entry_point": "undo",
        "args": {"run": run, "receipt": receipt},
    }
