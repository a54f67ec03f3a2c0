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
}
SYSTEMS = system_names(PROJECT)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_step_maps_both_ways(system: str) -> None:
    found = check(PROJECT, find_system(PROJECT, system), known_rehearsals(system))
    assert [f"{p.file}:{p.line}: {p.id}: {p.problem}; {p.next_step}" for p in found.problems] == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_step_of_the_prose_is_missing(system: str) -> None:
    found = check(PROJECT, find_system(PROJECT, system), known_rehearsals(system))
    assert [step.id for step in found.steps] == [f"{system.upper()}-{name}" for name in IDS[system].split()]


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
