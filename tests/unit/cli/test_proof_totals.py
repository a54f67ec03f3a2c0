"""The sums over all rehearsals count what was asked, and nothing that was not."""

from __future__ import annotations

from typing import Any

from runbook_engine.proof import Standing

from runbook.proof_totals import lines, totals

CLEAN = {"lock_free": True, "left": [], "repeated": [], "problem": ""}


def _found(**changed: Any) -> dict[str, Any]:
    return {
        "rehearsal": "20261121t064300z-7f3a9c",
        "kind": "symptom",
        "passed": True,
        "content": {},
        "detected": True,
        "recommended": True,
        "predicted_matches": {"compared": 2, "matched": 2, "mismatches": []},
        "undone": True,
        "kills": [CLEAN, CLEAN],
    } | changed


def _totals(**rehearsals: Any) -> dict[str, Any]:
    return totals([Standing("barn", "door-stuck", rehearsals)])


def test_what_was_right_is_counted_against_what_was_asked() -> None:
    counted = _totals(
        jam=_found(),
        flood=_found(kind="failing step", undone="irreversible", kills=[]),
        thaw=_found(kind="failing dependency", undone=None, predicted_matches=None, recommended=None),
    )
    assert counted["runbooks"] == {"all": 1, "proved": 1}
    assert counted["faults"]["kinds"] == {"failing dependency": 1, "failing step": 1, "symptom": 1}
    assert counted["detected"] == {"all": 3, "right": 3}
    assert counted["recommended"] == {"all": 2, "right": 2}
    assert counted["predicted"] == {"all": 4, "right": 4, "mismatches": []}
    assert counted["undone"] == {"all": 1, "right": 1, "irreversible": 1}
    assert counted["kills"] == {"all": 4, "right": 4, "left": 0, "repeated": 0}
    assert "undone     1 of 1 to the digest; 1 irreversible" in lines(counted)


def test_what_went_wrong_is_not_right() -> None:
    bad = [
        CLEAN | {"left": ["process 7"]},
        CLEAN | {"lock_free": False},
        CLEAN | {"repeated": ["Oil", "Wipe"]},
    ]
    counted = _totals(
        jam=_found(
            detected=False,
            undone=False,
            kills=[*bad, CLEAN | {"problem": "not resumed"}, CLEAN],
            predicted_matches={"compared": 2, "matched": 1, "mismatches": ["Oil: 3 drops, not 4"]},
        )
    )
    assert counted["detected"] == {"all": 1, "right": 0}
    assert counted["undone"] == {"all": 1, "right": 0}
    assert counted["kills"] == {"all": 5, "right": 1, "left": 1, "repeated": 2}
    assert counted["predicted"]["mismatches"] == ["Oil: 3 drops, not 4"]


def test_nothing_rehearsed_is_nothing_proved() -> None:
    counted = totals([])
    assert counted["faults"] == {"all": 0, "proved": 0, "kinds": {}, "fewest": 0}
    assert "killed     0 of 0 times clean, and nothing done twice" in lines(counted)
