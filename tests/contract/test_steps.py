"""Every step of every system's prose runbook is mapped, to things that exist and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runbook.catalog import find_system, system_names
from runbook.cli_coverage import known_rehearsals
from runbook.coverage import check
from runbook.project import Project

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Project(ROOT, "test")
# The ids of each prose runbook, complete: a step that is lost from a list is lost for good.
IDS = {
    "roost": """
        0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9
        1.0 1.1.0 1.1.1 1.1.2 1.1.3 1.2.1 1.2.2 1.2.3 1.2.4 1.2.5 1.3.1 1.3.2 1.3.3
        1.4.1 1.4.2 1.4.3 1.4.4 1.5.1 1.5.2 1.5.3 1.6
        2.0 2.1.1 2.1.2 2.1.3 2.2.1 2.2.2 2.2.3 2.3.1 2.3.2 2.3.3 2.4.1 2.4.2
        3.0 3.1.1 3.1.2 3.1.3 3.2.1 3.2.2 3.2.3 3.2.4 3.2.5 3.2.6
        3.3.0 3.3.1 3.3.2 3.3.3 3.3.4 3.3.5 3.4.1 3.4.2
        4.0 4.1.1 4.1.2 4.2.0 4.2.1 4.2.2 4.2.3 4.2.4
        5.0 5.1.1 5.1.2 5.1.3 5.2.1 5.2.2 5.2.3 5.3.1 5.4.1 5.5.1 5.5.2 5.5.3 5.5.4 5.5.5 5.5.6
        """,
    "cleaning": """
        0.1 0.2 0.3 0.4 1.1 1.2 1.3 1.4 2.1 2.2 2.3 2.4 2.5 3.1 3.2 3.3 3.4 3.5 3.6 3.7
        4.1 4.2 4.3 4.4 4.5 4.6 4.7 5.1 5.2 5.3 5.4 5.5 5.6 5.7 6.1 6.2 6.3 6.4 6.5 6.6 6.7 6.8
        7.1 7.2 7.3 7.4 7.5 7.6 7.7 8.1 8.2 8.3 8.4 8.5 8.6 8.7 9.1 9.2 9.3 9.4 9.5 9.6
        10.1 10.2 10.3 10.4 10.5 10.6 10.7 11.1 11.2 11.3 11.4 11.5 11.6
        12.1 12.2 12.3 12.4 12.5 12.6 12.7 13.1 13.2 13.3 13.4 13.5 13.6 13.7
        14.1 14.2 14.3 14.4 14.5 14.6 14.7 14.8 14.9 15.1 15.2 15.3 15.4
        """,
}
# What the ids of a system begin with, where it is not the system's own name.
PREFIXES = {"cleaning": "CLEAN"}
SYSTEMS = system_names(PROJECT)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_step_maps_both_ways(system: str) -> None:
    found = check(PROJECT, find_system(PROJECT, system), known_rehearsals(system))
    assert [f"{p.file}:{p.line}: {p.id}: {p.problem}; {p.next_step}" for p in found.problems] == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_step_of_the_prose_is_missing(system: str) -> None:
    found = check(PROJECT, find_system(PROJECT, system), known_rehearsals(system))
    prefix = PREFIXES.get(system, system.upper())
    assert [step.id for step in found.steps] == [f"{prefix}-{name}" for name in IDS[system].split()]


def test_the_command_imports_no_ansible() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "runbook.cli", "coverage"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "runbook" in imported
    assert not imported & {"ansible", "ansible_runner", "boto3", "jinja2"}
    assert max(map(len, done.stdout.splitlines())) <= 80
