"""One result whichever way a runbook is started: the same events, verdict and artifact at all four doors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook.catalog_runbooks import read_runbook
from tests.cli.cli_under_test import tiny_project
from tests.conformance.doors import DOORS, ROOT, Asked, Awx, Door, alike, differences

TINY = Asked("tiny", "file-failure", "rewrite")
REAL = Asked("roost", "database-failure", "restore", ("inventories/rehearsal/roost",))
Results = dict[str, list[dict[str, Any]]]


def tiny_door(name: str, folder: Path) -> Door:
    """The tiny project behind one door."""
    cli = tiny_project(folder)
    return DOORS[name](cli.project, TINY, {"TINY_FILE": str(cli.file)})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Door]:
    """Every door, planned and applied."""
    doors = {name: tiny_door(name, tmp_path_factory.mktemp("door")) for name in DOORS}
    for door in doors.values():
        door.plan_and_apply()
    return doors


@pytest.mark.parametrize("name", [name for name in DOORS if name != "ansible-playbook"])
def test_every_door_gives_the_result_of_plain_ansible(tiny: dict[str, Door], name: str) -> None:
    plain, other = tiny["ansible-playbook"].results(), tiny[name].results()
    assert [result["door"] for result in other] == [name] * 2
    assert [result["exit"]["name"] for result in other] == ["planned", "verified"]
    for number in range(2):
        seen = [bound(alike(result), name) for result in (other[number], plain[number])]
        assert differences(*seen) == []


def bound(result: dict[str, Any], door: str) -> dict[str, Any]:
    """Leave out what a plan is bound to, where that differs for a reason: molecule adds an inventory."""
    differs = ("content", "bound", "digest") if door == "molecule" else ()
    return {**result, "plan": {k: v for k, v in result["plan"].items() if k not in differs}}


def test_nothing_that_has_to_be_the_same_is_made_alike(tiny: dict[str, Door]) -> None:
    """What the comparison leaves out is little, and all of it is there."""
    planned, applied = tiny["ansible-playbook"].results()
    assert alike(planned) != alike(applied)
    for change in ({"options": []}, {"operator": "bob"}, {"playbook": "converge.yml"}, {"steps": []}):
        assert alike({**applied, **change}) != alike(applied)
    assert alike(applied)["plan"]["digest"] == applied["plan"]["digest"]
    assert alike(applied)["record"]["events"] == applied["record"]["events"] > 20


@pytest.mark.parametrize("scenario", ["database_failure", "stream_outage"])
def test_the_shipped_scenarios_ask_as_an_operator_does(scenario: str) -> None:
    """Variables of a play work too, but the record would not know that anybody had given them."""
    folder = ROOT / "molecule" / scenario
    (converge,) = yaml.safe_load((folder / "converge.yml").read_text())
    assert "vars" not in converge
    executor = yaml.safe_load((folder / "molecule.yml").read_text())["ansible"]["executor"]
    given = executor["args"]["ansible_playbook"]
    runbook = converge["ansible.builtin.import_playbook"].removeprefix("../../")
    (asked,) = (part.rpartition("=")[2] for part in given if part.startswith("--extra-vars=mitigation="))
    assert asked in [mitigation.name for mitigation in read_runbook(ROOT / runbook).mitigations]
    assert "--extra-vars=confirm=roost" in given


def test_awx_stores_the_result_as_an_artifact(tiny: dict[str, Door]) -> None:
    door = tiny["awx"]
    assert isinstance(door, Awx)
    result, artifact = alike(door.results()[-1]), alike(door.artifact())
    # The artifact is handed over in the last but one step, so it cannot know how the run ended.
    for late in ("finished_at", "record"):
        result.pop(late)
        artifact.pop(late)
    assert artifact == result


@pytest.fixture
def real(tmp_path: Path) -> Results:
    """Every door to the real runbook, each with a stand-in of its own whose database is damaged."""
    found: Results = {}
    for name, kind in DOORS.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "project").symlink_to(ROOT)
        stack = folder / "stack.json"
        rehearsal("up", "--scale", "0.2", "--stack", str(stack))
        try:
            rehearsal("fault", "corrupt-tables", "--stack", str(stack))
            found[name] = kind(folder / "project", REAL, {"REHEARSAL_STACK": str(stack)}).plan_and_apply()
        finally:
            rehearsal("down", "--stack", str(stack))
    return found


def rehearsal(*arguments: str) -> None:
    """Run one command of the stand-in."""
    command = [sys.executable, "-m", "runbook.rehearsal", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_database_is_restored_with_the_same_result_at_every_door(real: Results) -> None:
    for name, results in real.items():
        assert [result["exit"]["name"] for result in results] == ["planned", "verified"], name
        for other, plain in zip(results, real["ansible-playbook"], strict=True):
            seen = [bound(alike(result, measured=True), "molecule") for result in (other, plain)]
            found = differences(*seen)
            differs = {difference.partition(":")[0] for difference in found}
            # An overlay is known by its place, and AWX has a copy of it elsewhere: that is no rehearsal, so a
            # proof is asked for, which there may be or not.
            allowed = {".rehearsal", ".gate.proof", ".gate.override", ".options"} if name == "awx" else set()
            assert differs <= allowed, (name, found)
