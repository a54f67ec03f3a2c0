"""Suggested commands go where the run went, and can be pasted."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from runbook_engine import commands

RUN = "20261121t064300z-7f3a9c"
RESULT: dict[str, Any] = {
    "run": RUN,
    "system": "roost",
    "runbook": {"name": "database-failure"},
    "mitigation": "restore",
    "parameters": {"postgres_restore_force": True, "postgres_restore_key": "a b.dump"},
    "asked": {
        "inventories": ["/p/inventories/roost", "/p/inventories/rehearsal/roost"],
        "limit": "roost-prod",
        "project": None,
        "state": "/s t",
    },
}
WHERE = ["--inventory", "/p/inventories/rehearsal/roost", "--limit", "roost-prod", "--state", "/s t"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (commands.measure(RESULT), ["run", "roost", "database-failure", *WHERE]),
        (
            commands.mitigate(RESULT, "restart"),
            ["run", "roost", "database-failure", "--mitigation", "restart", *WHERE],
        ),
        (commands.undo(RESULT, RUN), ["undo", RUN, "--apply", *WHERE]),
        (commands.resume(RESULT), ["resume", RUN, *WHERE]),
        (commands.about(RESULT, "approve", RUN), ["approve", RUN, "--state", "/s t"]),
    ],
)
def test_every_command_repeats_where_the_run_went(made: str, words: list[str]) -> None:
    assert shlex.split(made) == ["runbook", *words]


def test_the_parameters_go_along_with_their_own_mitigation_only() -> None:
    made = shlex.split(commands.mitigate(RESULT, "restore", apply=True))
    assert "postgres_restore_force=true" in made
    assert "postgres_restore_key=a b.dump" in made
    assert "--param" not in commands.mitigate(RESULT, "restart")


def test_what_a_diagnosis_was_given_goes_along_with_every_mitigation() -> None:
    diagnosed = {**RESULT, "mitigation": None, "parameters": {"since": "noon"}}
    assert "--param since=noon" in commands.mitigate(diagnosed, "restart")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/p/inventories/rehearsal/roost", True), ("/p/inventories/roost", False), ("/rehearsal/roost", False)],
)
def test_the_overlay_of_a_stand_in_is_a_rehearsal(path: str, expected: bool) -> None:
    assert commands.is_rehearsal(["/p/inventories/roost", path]) is expected
