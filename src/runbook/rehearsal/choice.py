"""Which rehearsals a set is made of, what each has to show, and in which order they begin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal import cases
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.score import KINDS

ALL, ESSENTIAL, DEFAULT = "all", "essential", "default"
"""Which faults of a runbook: each; those that a proof cannot do without; the one of a plain rehearsal."""
DEPENDENCY = KINDS[2]
FEWEST = 3
"""Faults of each runbook that a proof rehearses at least."""

# What is not known of a rehearsal that never ran: seconds to its recovery, points where it is killed.
_RECOVERY_S, _POINTS = 15.0, 3
# Beside the runs: the stand-in, and the two runs of a control.
_STAND_IN_S, _CONTROL_S = 8.0, 10.0


@dataclass(frozen=True)
class Order:
    """One rehearsal: `flags` are options of `runbook rehearse`."""

    system: str
    runbook: str
    fault: str
    flags: tuple[str, ...] = ()


def orders(
    names: Iterable[tuple[str, str]],
    *,
    which: str,
    control: bool,
    abort_each: bool,
    undo: bool,
    in_turn: bool = False,
) -> list[Order]:
    """Return what to rehearse of these (system, runbook); `which`: ALL, ESSENTIAL or DEFAULT.

    A control does not depend on the fault, and a kill not on what made the mitigation necessary: the default
    of a runbook has the one, the first of a mitigation the other. What is
    essential is killed in turn, and goes straight to the plan.
    """
    made: list[Order] = []
    killing = ["--abort-each", *(["--in-turn"] if in_turn or which == ESSENTIAL else [])]
    for system, runbook in names:
        case = cases.find(system, runbook)
        carriers = killed(case, which)
        for fault in chosen(case, which):
            flags = ["--undo"] if undo else []
            flags += ["--control"] if control and fault.name == case.default else []
            flags += ["--straight"] if which == ESSENTIAL else []
            flags += killing if abort_each and fault in carriers else []
            # After its last step no mitigation is killed otherwise than another one of its runbook.
            flags += ["--in-steps"] if abort_each and which == ESSENTIAL and fault in carriers[1:] else []
            made.append(Order(system, runbook, fault.name, tuple(flags)))
    return made


def chosen(case: type[Case], which: str) -> list[Symptom]:
    """Return the faults of a case that belong to a set, in the order in which the case lists them."""
    if which == ALL:
        return list(case.symptoms)
    default = [fault for fault in case.symptoms if fault.name == case.default]
    return _essential(case, default) if which == ESSENTIAL else default


def killed(case: type[Case], which: str = ALL) -> list[Symptom]:
    """Return the faults with which runs are killed: the first of each mitigation that can end verified.

    What is essential goes without mitigations whose steps all are another one's, too, where they are killed.
    """
    left_out = _named(case.includes, case.same_steps) if which == ESSENTIAL else set()
    return [fault for name, fault in _firsts(case).items() if name not in left_out]


def _named(*tables: Mapping[str, Iterable[str]]) -> set[str]:
    return {name for table in tables for names in table.values() for name in names}


def _firsts(case: type[Case]) -> dict[str, Symptom]:
    firsts: dict[str, Symptom] = {}
    for fault in case.symptoms:
        if fault.mitigation and fault.ends == "verified":
            firsts.setdefault(fault.mitigation, fault)
    return firsts


def _essential(case: type[Case], default: Sequence[Symptom]) -> list[Symptom]:
    """The default, each mitigation that no other one includes, each kind of fault, and FEWEST of them."""
    included = _named(case.includes)
    wanted = [*default, *(fault for name, fault in _firsts(case).items() if name not in included)]
    for fault in case.symptoms:
        if fault.mitigation and fault.mitigation not in {one.mitigation for one in wanted} | included:
            wanted.append(fault)
    for kind in KINDS:
        of_kind = sorted((one for one in case.symptoms if one.kind == kind), key=_shows_less)
        if not any(one in wanted and _shows_less(one) == _shows_less(of_kind[0]) for one in of_kind):
            wanted += of_kind[:1]
    wanted += [one for one in case.symptoms if one not in wanted][: max(FEWEST - len(_once(wanted)), 0)]
    return [one for one in case.symptoms if one in wanted]


def _shows_less(fault: Symptom) -> bool:
    """Whether a fault shows its kind only where no other does.

    One that ends in its plan shows no failing step; and where a dependency fails, what counts is that it is
    found and that nothing wrong is recommended.
    """
    return bool(fault.mitigation) if fault.kind == DEPENDENCY else fault.in_plan


def _once(faults: Iterable[Symptom]) -> set[str]:
    return {fault.name for fault in faults}


def longest_first(made: Iterable[Order], earlier: Mapping[Order, Mapping[str, Any]]) -> list[Order]:
    """Return the same orders, those first that are expected to take longest: nothing long is left at the end.

    earlier: what is known of the newest rehearsal of each, as its score says.
    """
    return sorted(made, key=lambda order: -expected_s(order, earlier.get(order, {})))


def expected_s(order: Order, earlier: Mapping[str, Any]) -> float:
    """Return about how many seconds a rehearsal takes on an idle machine; `earlier`: its newest score."""
    once = float(earlier.get("recovery_s") or _RECOVERY_S)
    points = len(earlier.get("kills") or ()) or _POINTS
    return (
        once
        + _STAND_IN_S
        + (_CONTROL_S if "--control" in order.flags else 0)
        + (points * once if "--abort-each" in order.flags else 0)
    )
