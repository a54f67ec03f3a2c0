"""What the command `runbook` costs over plain Ansible, and how long a whole rehearsal takes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from runbook.rehearsal import cases, stack
from tests.benchmarks import commands
from tests.benchmarks.measure import Bench, Target, Variant, Within

BARE, WRAPPED = "ansible-playbook, diagnose", "runbook run, diagnose"
REHEARSAL = "rehearsal: fault, diagnose, plan, apply, verify, undo, compare"


@contextlib.contextmanager
def broken_stack() -> Iterator[stack.Stack]:
    """Yield a stand-in whose database is damaged."""
    with stack.running(stack.Options()) as up:
        cases.find_fault("corrupt-tables", commands.SYSTEM).run("fault", up)
        yield up


@contextlib.contextmanager
def section(scratch: Path) -> Iterator[Bench]:
    """The same diagnosis through both doors."""
    with broken_stack() as up:
        environment = {"REHEARSAL_STACK": str(up.path), "RUNBOOK_STATE": str(scratch / "state")}
        wrapped, bare = commands.diagnose(scratch / "state"), commands.bare_diagnose()
        variants = [
            Variant(BARE, lambda: commands.run(bare, environment)),
            Variant(WRAPPED, lambda: commands.run(wrapped, environment, commands.FINDINGS_REMAIN)),
        ]
        yield Bench(variants, [Target(WRAPPED, BARE, 1.15), Within(WRAPPED, 0.5, BARE)])


@contextlib.contextmanager
def rehearsal(scratch: Path) -> Iterator[Bench]:
    """What `make rehearse` does when everything is installed."""
    command = [sys.executable, "-m", "runbook.rehearsal", "rehearse", commands.SYSTEM, commands.RUNBOOK]
    command += ["--state", str(scratch / "state")]
    yield Bench([Variant(REHEARSAL, lambda: commands.run(command, {}))], [Within(REHEARSAL, 20.0)])
