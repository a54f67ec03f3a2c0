"""One folder per system, in it one file per runbook: how it is rehearsed. `base.py` says what a case is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.processes import StandInError

_HERE = Path(__file__).parent


def systems() -> list[str]:
    """Return the systems that have a stand-in."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def names(system: str) -> list[str]:
    """Return the runbooks of `system` that can be rehearsed; none of a system without a stand-in."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules([str(_HERE / system)]))


def find(system: str, runbook: str) -> type[Case]:
    """Return the case of `runbook` for `system`; raises StandInError naming those that exist."""
    if runbook not in names(system):
        there = ", ".join(names(system)) or "none at all"
        raise StandInError(f"there is no rehearsal of {runbook!r} for {system}; there are: {there}")
    case: type[Case] = importlib.import_module(f"{__name__}.{system}.{runbook.replace('-', '_')}").CASE
    return case


def faults(system: str) -> Iterator[tuple[str, Symptom]]:
    """Yield (runbook, fault) for every fault of every runbook of `system`."""
    for runbook in names(system):
        for symptom in find(system, runbook).symptoms:
            yield runbook, symptom


def locate(name: str, system: str, runbook: str = "") -> tuple[type[Case], Symptom]:
    """Return the fault `name` of `runbook`, or of the first runbook of `system` that has it, with its case.

    Raises StandInError naming those that exist.
    """
    searched = [find(system, one) for one in ([runbook] if runbook else names(system))]
    known = [(case, symptom) for case in searched for symptom in case.symptoms]
    for case, symptom in known:
        if symptom.name == name:
            return case, symptom
    there = ", ".join(dict.fromkeys(symptom.name for _, symptom in known))
    raise StandInError(f"there is no fault {name!r} of {runbook or system}; there are: {there}")


def find_fault(name: str, system: str, runbook: str = "") -> Symptom:
    """Return the fault that `locate` finds."""
    return locate(name, system, runbook)[1]
