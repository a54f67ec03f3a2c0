"""What a header tells a person is read whole, shown whole, and refused where it cannot be meant."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from runbook.catalog_runbooks import read_runbook
from runbook.catalog_systems import System
from runbook.catalog_yaml import FileError
from runbook.output import commands, print_show

HEADER = """
- hosts: localhost
  vars:
    runbook:
      name: door-stuck
      title: Door stuck
      summary: The door does not open.
      severity: SEV-2
      group: doors
      symptoms: [Nobody gets in.]
      diagnosis: [The hinge is looked at.]
      causes: [Rust.]
      rollback: [Nothing to take back.]
      escalation: [{role: on_call, when: first}, {role: security, when: "a key is lost, too"}]
      signals: [{name: stuck, when: "status.hinge == 'fail'", means: The hinge is stuck.}]
      explains: [barn-empty]
      confirm_by_owner: [Which oil it needs.]
"""


def playbook(folder: Path, text: str) -> Path:
    """Return a playbook with this text."""
    path = folder / "door_stuck.yml"
    path.write_text(text)
    return path


def test_everything_that_it_tells_is_shown_with_who_is_called(tmp_path: Path) -> None:
    runbook = read_runbook(playbook(tmp_path, HEADER))
    assert runbook.signals[0].when == "status.hinge == 'fail'"
    console = Console(file=io.StringIO(), width=80, no_color=True)
    system = System("barn", "Barn", tmp_path, {}, {"on_call": "anna@example.org", "security": ""})
    print_show(console, runbook, system, {("barn", "door-stuck"): None})  # type: ignore[dict-item]
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    for sentence in (
        "The hinge is looked at.", "Rust.", "Nothing to take back.", "barn-empty", "Which oil it needs.",
        "on_call (anna@example.org): first",
        "security (nobody is named in the inventory): a key is lost, too",
    ):  # fmt: skip
        assert sentence in shown


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"a key is lost, too"', "a key is lost, too", "'too' means nothing here"),
        (
            "escalation: [{role: on_call, when: first}",
            "escalation: [{role: on_call}",
            "escalation[0].when is missing",
        ),
        ("[Rust.]", "Rust.", "causes is not a list"),
        ("{name: stuck, when: ", "{name: stuck, if: ", "'if' means nothing here"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in HEADER
    with pytest.raises(FileError) as raised:
        read_runbook(playbook(tmp_path, HEADER.replace(old, new)))
    assert problem in str(raised.value)
    assert raised.value.line > 1


def test_a_runbook_without_mitigations_has_no_commands_for_them(tmp_path: Path) -> None:
    runbook = read_runbook(playbook(tmp_path, HEADER))
    plain = "ansible-playbook -i inventories/SYSTEM playbooks/door_stuck.yml"
    assert commands(runbook, None) == ["runbook run SYSTEM door-stuck", plain]
    assert commands(replace(runbook, triages=True), None) == ["runbook triage SYSTEM", plain]
