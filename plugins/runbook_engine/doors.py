# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operator types, in the words of the door that the run came through."""

from __future__ import annotations

WRAPPER = "runbook"
"""The door of the command `runbook`; every other one takes Ansible's extra variables."""


def option(door: str | None, name: str, value: str) -> str:
    """Return how a variable of the engine (`confirm`, `plan_digest`, …) is given."""
    if door == WRAPPER:
        return f"--{name.replace('_', '-')} {value}"
    if door == "awx":
        return f"the survey's answer {name}: {value}"
    return f"-e {name}={value}"


def parameter(door: str | None, name: str, value: str) -> str:
    """Return how a parameter of a mitigation is given."""
    return f"--param {name}={value}" if door == WRAPPER else option(door, name, value)


def confirm(door: str | None, system: str) -> str:
    """Return what is missing when a change was not confirmed."""
    if door == WRAPPER:
        return f"to apply: --apply {option(door, 'confirm', system)}; to plan: leave out --apply"
    if door == "awx":
        return f"to apply: {option(door, 'confirm', system)}; to plan: job type Check"
    return f"to apply: {option(door, 'confirm', system)}; to plan: --check --diff"


def limit(door: str | None) -> str:
    """Return how a run is limited without leaving out its first play."""
    return "--limit HOST" if door == WRAPPER else "--limit '<host>,localhost'"


def approval(door: str | None) -> str:
    """Return what to do when another operator has to approve a plan."""
    if door == WRAPPER:
        return (
            "plan it (without --apply); another operator runs: runbook approve RUN (the plan's run); then "
            f"apply it; in an emergency: {option(door, 'break_glass', 'WHY')}"
        )
    return (
        "plan it; another operator runs: runbook approve RUN (the plan's run); apply it with "
        f"{option(door, 'plan_digest', 'DIGEST')} (of that plan); in an emergency: "
        f"{option(door, 'break_glass', 'WHY')}"
    )
