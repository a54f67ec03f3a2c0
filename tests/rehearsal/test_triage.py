"""Triage names the right runbook first, for the fault of every runbook alone, and both of two at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rehearsing import ROOT

from runbook.rehearsal import cases, isolation, stack

pytestmark = pytest.mark.slow
# A triage does not read the audit log: whether somebody is in who should not be is a question of its own.
# That a write cannot wait is seen by no measurement: a person decides it.
NOT_MEASURED = {("roost", "security-breach"), ("cleaning", "break-glass-access")}
# Whatever calls for a restore is a failure of the database first, and that runbook has the same restore.
NEVER_FIRST = {("cleaning", "database-restore")}
ALONE = [
    (system, runbook)
    for system in cases.systems()
    for runbook in cases.names(system)
    if (system, runbook) not in NOT_MEASURED | NEVER_FIRST
]
TOGETHER = [
    ("cleaning", ("disk-full", "nearly-full"), ("database-failure", "postmaster-killed")),
    ("cleaning", ("service-outage", "api-killed"), ("job-scheduler-stale", "worker-killed")),
    ("cleaning", ("database-failure", "corrupt-tables"), ("database-restore", "dropped-table")),
    ("cleaning", ("database-failure", "postmaster-killed"), ("service-outage", "proxy-out-of-order")),
    ("roost", ("auth-outage", "auth-killed"), ("stream-outage", "relay-killed")),
]


# Their faults need a disk that is the stand-in's own.
OWN_DISK = {"disk-full"}


def once_more_isolated(request: pytest.FixtureRequest, *runbooks: str) -> bool:
    """Where a test needs it, run it in namespaces of its own; return whether that was done."""
    if not OWN_DISK.intersection(runbooks) or isolation.mode() == "namespace":
        return False
    if not isolation.available():
        pytest.skip("no user namespaces on this machine")
    command = [sys.executable, "-m", "runbook.rehearsal", "isolated", "--"]
    command += [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        request.node.nodeid,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return True


def everything(system: str) -> Iterator[stack.Stack]:
    """A stack with all that any runbook of the system needs."""
    parts = frozenset().union(*(cases.find(system, name).parts for name in cases.names(system)))
    with stack.running(stack.Options(scale=0.2, parts=parts, system=system)) as made:
        yield made


def triage(made: stack.Stack, state: Path) -> dict[str, Any]:
    """Run the command that users type; return what it recommends."""
    overlay = ROOT / "inventories" / "rehearsal" / made.system
    command = [sys.executable, "-m", "runbook.cli", "triage", made.system, "--json"]
    command += ["--inventory", str(overlay), "--project", str(ROOT), "--state", str(state)]
    environment = {**os.environ, "REHEARSAL_STACK": str(made.path)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "canary-" not in done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert not [step for step in result["steps"] if step["status"] == "ignored"], "not all could be measured"
    found: dict[str, Any] = result["recommendation"]
    return found


@pytest.mark.parametrize("system", cases.systems())
def test_nothing_is_named_while_nothing_is_wrong(system: str, tmp_path: Path) -> None:
    for made in everything(system):
        assert triage(made, tmp_path)["runbooks"] == []


@pytest.mark.parametrize(("system", "runbook"), ALONE)
def test_a_fault_alone_has_its_runbook_first(
    system: str, runbook: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if once_more_isolated(request, runbook):
        return
    case = cases.find(system, runbook)()
    for made in everything(system):
        case.healthy(made)
        cases.find_fault(case.default, system, runbook).run("fault", made)
        assert case.problem_outside(made), "nobody notices the fault"
        called = triage(made, tmp_path)["runbooks"]
        assert called[0]["runbook"] == runbook
        assert all(signal["evidence"] for signal in called[0]["signals"])


@pytest.mark.parametrize(("system", "first", "second"), TOGETHER)
def test_two_faults_at_once_name_both(
    system: str,
    first: tuple[str, str],
    second: tuple[str, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if once_more_isolated(request, first[0], second[0]):
        return
    for made in everything(system):
        for runbook, fault in (first, second):
            cases.find_fault(fault, system, runbook).run("fault", made)
        names = [one["runbook"] for one in triage(made, tmp_path)["runbooks"]]
        assert names[0] == first[0]
        assert second[0] in names
