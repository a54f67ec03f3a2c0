"""What the rehearsals of a runbook did not look at is named."""

from __future__ import annotations

from typing import Any, ClassVar

from runbook.proof_gaps import not_shown
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack


def _fault(name: str, mitigation: str, ends: str = "verified") -> Symptom:
    return Symptom(name, name, lambda _stack: None, expects=mitigation, ends=ends)


class Made(Case):
    """A runbook with a mitigation that does all that another one does."""

    runbook = "x"
    parts = frozenset()
    default = "a"
    symptoms = (
        *(_fault(name, name) for name in ("whole", "part", "alike", "other")),
        _fault("d", "try", "failed"),
    )
    includes: ClassVar = {"whole": ("part",)}
    same_steps: ClassVar = {"whole": ("alike",)}

    def problem_outside(self, stack: Stack) -> str:
        """Nobody looks."""
        raise NotImplementedError


MITIGATIONS = ["whole", "part", "alike", "other", "try", "buy"]
KILL = {"step": "One"}


def _found(mitigation: str, **changed: Any) -> dict[str, Any]:
    return {"passed": True, "mitigation": mitigation, "undone": True, "kills": [KILL]} | changed


def test_what_was_looked_at_is_no_gap_and_the_parts_of_a_whole_are_killed_with_it() -> None:
    found = [_found("whole", control=True), _found("alike", kills=[]), _found("other", undone="irreversible")]
    assert not_shown(found, MITIGATIONS[:-1], Made) == []
    assert not_shown(found[::2], MITIGATIONS[:-1], Made) == ["never taken back: alike"]


def test_what_was_not_asked_for_or_has_no_fault_is_named() -> None:
    found = [_found("whole", kills=[], undone=None), _found("part", undone=None), _found("other", kills=[])]
    assert not_shown(found, MITIGATIONS, Made) == [
        "no fault calls for: buy",
        "never killed: whole, alike, other",
        "never taken back: whole, part, alike",
        "no control on a healthy system",
    ]


def test_what_failed_shows_nothing() -> None:
    found = [_found("whole", control=True, passed=False), _found("other"), _found("part"), _found("alike")]
    assert not_shown(found, MITIGATIONS[:-1], Made) == [
        "never killed: whole",
        "never taken back: whole",
        "no control on a healthy system",
    ]
