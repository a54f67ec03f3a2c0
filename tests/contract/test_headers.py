"""What every runbook tells a person: the same six things, and conditions that can be evaluated."""

from __future__ import annotations

from pathlib import Path

import jmespath
import pytest
import yaml

from runbook.catalog import find_system, runbook_names, system_names
from runbook.catalog_runbooks import ROLES, Runbook, read_runbook, runbook_files
from runbook.project import Project

PROJECT = Project(Path(__file__).resolve().parents[2], "test")
RUNBOOKS = [read_runbook(path) for path in runbook_files(PROJECT.playbooks)]


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda r: r.name)
def test_a_runbook_tells_all_that_a_person_needs(runbook: Runbook) -> None:
    for key in ("symptoms", "diagnosis", "causes", "rollback", "escalation"):
        assert getattr(runbook, key), f"{runbook.path.name} has no {key}"
    assert runbook.escalation[0].role == "on_call"
    assert {step.role for step in runbook.escalation} <= set(ROLES)


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda r: r.name)
def test_its_conditions_can_be_evaluated_and_hold_of_nothing(runbook: Runbook) -> None:
    nothing = {"findings": [], "status": {}}
    for signal in runbook.signals:
        assert not jmespath.search(signal.when, nothing), signal.name
    for mitigation in runbook.mitigations:
        jmespath.search(mitigation.advised_when, nothing)
    names = [signal.name for signal in runbook.signals]
    assert len(names) == len(set(names))


def test_what_a_runbook_explains_exists_and_goes_in_no_circle() -> None:
    explains = {runbook.name: runbook.explains for runbook in RUNBOOKS}
    assert {name for named in explains.values() for name in named} <= set(runbook_names(PROJECT))
    for start, first in explains.items():
        reached, left = set(), list(first)
        while left:
            name = left.pop()
            if name not in reached:
                reached.add(name)
                left += explains[name]
        assert start not in reached, f"{start} explains itself"


@pytest.mark.parametrize("name", system_names(PROJECT))
def test_a_system_knows_the_severities_and_the_roles_that_it_needs(name: str) -> None:
    system = find_system(PROJECT, name)
    values = yaml.safe_load((system.folder / "group_vars/all/system.yml").read_text())["system"]
    for runbook in RUNBOOKS:
        declared = system.runbooks.get(runbook.name)
        if declared is not None:
            assert (declared.severity or runbook.severity) in values["severities"], runbook.name
    assert all(about.get("meaning") for about in values["severities"].values())
    assert set(system.contacts) <= set(ROLES)
    assert "on_call" in system.contacts
