# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All rehearsals that count, added up: how many faults were found, undone, predicted, survived a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from runbook_engine import proof
from runbook_engine.proof import Standing

Found = Mapping[str, Any]


def totals(standings: Iterable[Standing]) -> dict[str, Any]:
    """Return the sums over the newest rehearsal of every fault; a count that nobody asked for is 0 of 0."""
    listed = list(standings)
    found = [one for stands in listed for one in stands.rehearsals.values()]
    return {
        "runbooks": {"all": len(listed), "proved": sum(one.state == proof.PROVED for one in listed)},
        "faults": {
            "all": sum(one.total for one in listed),
            "proved": sum(one.passed for one in listed),
            "kinds": dict(sorted(Counter(str(one.get("kind")) for one in found).items())),
            "fewest": min((one.total for one in listed), default=0),
        },
        "detected": _share(found, "detected"),
        "recommended": _share(found, "recommended"),
        "predicted": _predicted(found),
        "undone": _undone(found),
        "kills": _kills(found),
    }


def _share(found: list[Found], key: str) -> dict[str, int]:
    asked = [one[key] for one in found if one.get(key) is not None]
    return {"all": len(asked), "right": sum(bool(value) for value in asked)}


def _predicted(found: list[Found]) -> dict[str, Any]:
    matches = [one["predicted_matches"] for one in found if one.get("predicted_matches")]
    return {
        "all": sum(match["compared"] for match in matches),
        "right": sum(match["matched"] for match in matches),
        "mismatches": [text for match in matches for text in match["mismatches"]],
    }


def _undone(found: list[Found]) -> dict[str, int]:
    """What was taken back to the digest, of what can be; what cannot, or left nothing, is counted apart."""
    asked = [one["undone"] for one in found if one.get("undone") is not None]
    reversible = [value for value in asked if isinstance(value, bool)]
    words = Counter(str(value) for value in asked if not isinstance(value, bool))
    return {
        "all": len(reversible),
        "right": sum(reversible),
        **{k.replace(" ", "_"): n for k, n in words.items()},
    }


def _kills(found: list[Found]) -> dict[str, int]:
    kills = [kill for one in found for kill in one.get("kills") or ()]
    return {
        "all": len(kills),
        "right": sum(_is_clean(kill) for kill in kills),
        "left": sum(len(kill.get("left") or ()) for kill in kills),
        "repeated": sum(len(kill.get("repeated") or ()) for kill in kills),
    }


def _is_clean(kill: Found) -> bool:
    free = bool(kill.get("lock_free"))
    return free and not (kill.get("left") or kill.get("repeated") or kill.get("problem"))


def lines(counted: Mapping[str, Any]) -> list[str]:
    """Return the totals in a few lines for a reader."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in counted["faults"]["kinds"].items())
    undone = counted["undone"]
    apart = [f"{n} {key.replace('_', ' ')}" for key, n in undone.items() if key not in ("all", "right")]
    told = [
        ("faults", f"{_of(counted['faults'], 'proved')} proved" + (f" ({kinds})" if kinds else "")),
        ("found", f"{_of(counted['detected'])}; the right mitigation first {_of(counted['recommended'])}"),
        ("predicted", f"{_of(counted['predicted'])} changing steps did what their plan said"),
        ("undone", "; ".join([f"{_of(undone)} to the digest", *apart])),
        ("killed", f"{_of(counted['kills'])} times clean, and nothing done twice"),
    ]
    return [f"{label:<11}{text}" for label, text in told]


def _of(count: Mapping[str, Any], right: str = "right") -> str:
    return f"{count[right]} of {count['all']}"
