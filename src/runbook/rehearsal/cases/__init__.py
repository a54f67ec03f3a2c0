"""One file per runbook: how it is rehearsed. See `base.py` for what a case is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.processes import StandInError


def names() -> list[str]:
    """Return the runbooks that can be rehearsed."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name != "base")


def find(runbook: str) -> type[Case]:
    """Return the case of `runbook`; raises StandInError naming those that exist."""
    if runbook not in names():
        raise StandInError(f"there is no rehearsal of {runbook!r}; there are: {', '.join(names())}")
    case: type[Case] = importlib.import_module(f"{__name__}.{runbook.replace('-', '_')}").CASE
    return case


def faults() -> Iterator[tuple[str, Symptom]]:
    """Yield (runbook, fault) for every fault of every runbook."""
    for runbook in names():
        for symptom in find(runbook).symptoms:
            yield runbook, symptom


def find_fault(name: str, runbook: str = "") -> Symptom:
    """Return the fault `name` of `runbook`, or of the first runbook that has it.

    Raises StandInError naming those that exist.
    """
    known = find(runbook).symptoms if runbook else tuple(symptom for _, symptom in faults())
    for symptom in known:
        if symptom.name == name:
            return symptom
    there = ", ".join(dict.fromkeys(symptom.name for symptom in known))
    raise StandInError(f"there is no fault {name!r}{f' of {runbook}' if runbook else ''}; there are: {there}")
