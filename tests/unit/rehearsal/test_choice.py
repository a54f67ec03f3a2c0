"""Which rehearsals a set is made of, and in which order they begin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from runbook.rehearsal import cases, choice
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.cases.roost.security_breach import SecurityBreach
from runbook.rehearsal.choice import ALL, DEFAULT, ESSENTIAL, Order
from runbook.rehearsal.score import KINDS

ROOT = Path(__file__).resolve().parents[3]
SYMPTOM, STEP, DEPENDENCY = KINDS


def _fault(name: str, mitigation: str = "mend", kind: str = SYMPTOM, ends: str = "verified") -> Symptom:
    return Symptom(name, name, lambda _stack: None, kind=kind, expects=mitigation, ends=ends)


def _case(*faults: Symptom, default: str = "") -> type[Case]:
    about = {"symptoms": faults, "default": default or faults[0].name, "runbook": "x", "parts": frozenset()}
    return type("Made", (Case,), about)


def _names(case: type[Case], which: str) -> list[str]:
    return [fault.name for fault in choice.chosen(case, which)]


def _orders(system: str = "roost", which: str = ALL, **flags: Any) -> list[Order]:
    asked = {"control": True, "abort_each": True, "undo": True, **flags}
    return choice.orders([(system, name) for name in cases.names(system)], which=which, **asked)


def test_what_is_essential_is_the_default_each_mitigation_and_each_kind() -> None:
    case = _case(
        _fault("a"),
        _fault("more of a"),
        _fault("b", "swap"),
        _fault("step", kind=STEP, ends="failed"),
        _fault("more of step", kind=STEP, ends="failed"),
        _fault("gone", "", DEPENDENCY),
        _fault("never well", "pray", ends="not verified"),
        default="more of a",
    )
    assert _names(case, ESSENTIAL) == ["a", "more of a", "b", "step", "gone", "never well"]
    assert _names(case, DEFAULT) == ["more of a"]
    assert len(_names(case, ALL)) == 7


def test_what_ends_in_its_plan_shows_its_kind_only_where_no_other_does() -> None:
    refused = replace(_fault("refused", "swap", STEP, ends="failed"), in_plan=True)
    fails, late = (_fault(name, kind=STEP, ends="failed") for name in ("fails", "late"))
    assert _names(_case(_fault("a"), refused, fails, late), ESSENTIAL) == ["a", "refused", "fails"]
    assert _names(_case(_fault("a"), refused, _fault("b"), _fault("c")), ESSENTIAL) == ["a", "refused", "b"]


def test_three_faults_are_the_least() -> None:
    case = _case(*(_fault(name) for name in "abcd"))
    assert _names(case, ESSENTIAL) == ["a", "b", "c"]
    assert _names(_case(_fault("only")), ESSENTIAL) == ["only"]


@pytest.mark.parametrize("which", [ALL, ESSENTIAL])
@pytest.mark.parametrize("system", cases.systems())
def test_each_set_has_every_kind_every_mitigation_one_control_and_each_mitigation_killed_once(
    system: str, which: str
) -> None:
    made = _orders(system, which)
    assert len(made) == len({(o.runbook, o.fault) for o in made})
    for runbook in cases.names(system):
        case = cases.find(system, runbook)
        flags = {o.fault: o.flags for o in made if o.runbook == runbook}
        rehearsed = [cases.find_fault(name, system, runbook) for name in flags]
        assert {fault.kind for fault in rehearsed} == {fault.kind for fault in case.symptoms}
        included = (
            {part for parts in case.includes.values() for part in parts} if which == ESSENTIAL else set()
        )
        assert {fault.mitigation for fault in rehearsed} >= {f.mitigation for f in case.symptoms} - {
            "",
            *included,
        }
        assert len(rehearsed) >= choice.FEWEST
        assert [name for name, given in flags.items() if "--control" in given] == [case.default]
        carriers = [name for name, given in flags.items() if "--abort-each" in given]
        behind = [name for name in carriers if "--in-steps" not in flags[name]]
        assert behind == (carriers[:1] if which == ESSENTIAL else carriers)
        assert carriers
        killed = [cases.find_fault(name, system, runbook).mitigation for name in carriers]
        assert len(killed) == len(set(killed))
        left = {f.mitigation for f in case.symptoms if f.mitigation and f.ends == "verified"} - set(killed)
        tables = [*case.includes.items(), *case.same_steps.items()]
        with_them = {other for name, others in tables if name in killed for other in others}
        assert left <= (with_them if which == ESSENTIAL else set())
    assert all("--undo" in order.flags for order in made)
    if which == ALL:
        assert len(made) == len(list(cases.faults(system)))


def test_the_small_set_kills_in_turn_with_faults_of_the_whole() -> None:
    whole, small = ({o.fault: o.flags for o in _orders(which=which)} for which in (ALL, ESSENTIAL))
    killed = [{name for name, flags in made.items() if "--abort-each" in flags} for made in (whole, small)]
    assert killed[0] > killed[1] > {"intruder", "relay-killed"}
    in_turn = [{"--in-turn" in f for f in made.values() if "--abort-each" in f} for made in (whole, small)]
    assert in_turn == [{False}, {True}]
    assert all("--in-turn" in o.flags for o in _orders(in_turn=True) if "--abort-each" in o.flags)


def test_only_the_small_set_goes_straight_on() -> None:
    straight = [
        {"--straight" in o.flags for o in _orders(which=which)} for which in (ALL, DEFAULT, ESSENTIAL)
    ]
    assert straight == [{False}, {False}, {True}]


def test_what_another_mitigation_includes_is_not_rehearsed_again_in_the_small_set() -> None:
    case = _case(_fault("a", "whole"), _fault("b", "part"), _fault("c", "alike"), _fault("d", "other"))
    case.includes, case.same_steps = {"whole": ("part",)}, {"whole": ("alike",)}
    assert _names(case, ESSENTIAL) == ["a", "c", "d"]
    assert [fault.name for fault in choice.killed(case, ESSENTIAL)] == ["a", "d"]
    assert [fault.name for fault in choice.killed(case)] == ["a", "b", "c", "d"]


def test_where_a_dependency_fails_the_small_set_takes_what_is_only_diagnosed() -> None:
    goes_on, found = _fault("old", kind=DEPENDENCY), _fault("none", "", DEPENDENCY)
    assert _names(_case(_fault("a"), _fault("b", "swap"), goes_on, found), ESSENTIAL) == ["a", "b", "none"]
    assert _names(_case(_fault("a"), goes_on, _fault("b")), ESSENTIAL) == ["a", "old", "b"]


def test_without_a_set_it_is_the_default_fault_of_each_runbook() -> None:
    made = _orders(which=DEFAULT, control=False, abort_each=False, undo=False)
    assert {(o.runbook, o.fault, o.flags) for o in made} == {
        (name, cases.find("roost", name).default, ()) for name in cases.names("roost")
    }


def test_what_took_longest_begins_first_and_kills_count_by_their_points() -> None:
    quick, slow, killed = (Order("s", "r", name) for name in ("quick", "slow", "killed"))
    many_points = Order("s", "r", "many", ("--abort-each",))
    new = Order("s", "r", "new", ("--abort-each", "--control"))
    earlier: dict[Order, dict[str, Any]] = {
        quick: {"recovery_s": 5.0},
        slow: {"recovery_s": 80.0},
        # What was killed before is not killed in this set.
        killed: {"recovery_s": 20.0, "kills": [{}] * 9},
        many_points: {"recovery_s": 20.0, "kills": [{}] * 9},
    }
    given = [quick, killed, new, slow, many_points]
    assert choice.longest_first(given, earlier) == [many_points, slow, new, killed, quick]


def _applies(when: Any, mitigation: str) -> bool:
    """Whether a block of the breach's playbook runs for a mitigation."""
    values = {"breach_mitigation": mitigation, "breach_contains": mitigation == "contain"}
    return bool(Environment().compile_expression(str(when))(**values))


def _reached(tasks: list[Any], mitigation: str) -> set[tuple[str, str]]:
    """Return which tasks of which roles a mitigation may reach; a task that names none is reached by each."""
    found: set[tuple[str, str]] = set()
    for task in tasks:
        role, when = task.get("ansible.builtin.include_role"), str(task.get("when", ""))
        if role and (repr(mitigation) in when or "mitigation" not in when):
            found.add((role["name"], role["tasks_from"]))
    return found


@pytest.mark.parametrize(
    ("system", "runbook"), [(s, r) for s in cases.systems() for r in cases.names(s) if r != "security-breach"]
)
def test_what_is_included_reaches_no_task_that_the_whole_does_not_reach(system: str, runbook: str) -> None:
    playbook = yaml.safe_load((ROOT / "playbooks" / f"{runbook.replace('-', '_')}.yml").read_text())
    tasks = next(t["block"] for t in playbook[1]["tasks"] if t["name"] == "Mitigate")
    case = cases.find(system, runbook)
    for name, others in [*case.includes.items(), *case.same_steps.items()]:
        for other in others:
            assert _reached(tasks, other), other
            assert _reached(tasks, other) <= _reached(tasks, name), other


def test_whoever_kills_a_containment_kills_the_steps_of_what_it_includes() -> None:
    playbook = yaml.safe_load((ROOT / "playbooks" / "security_breach.yml").read_text())
    blocks = next(t["block"] for t in playbook[1]["tasks"] if t["name"] == "Mitigate")
    conditions = [task["when"] for task in blocks if "when" in task]
    for name, others in SecurityBreach.includes.items():
        for other in others:
            own = [when for when in conditions if _applies(when, other)]
            assert own
            assert all(_applies(when, name) for when in own), other
    assert not any(_applies(when, "contain") for when in conditions if "end-breach" in str(when))
