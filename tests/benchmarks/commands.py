"""Commands as an operator starts them, timed to their end or to the first words that matter."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYSTEM, RUNBOOK = "roost", "database-failure"
OVERLAY = ROOT / "inventories" / "rehearsal" / SYSTEM
FINDINGS_REMAIN = 1
# A finding begins its line with its status, in colour, and the name of its check.
_FINDING = re.compile(rb"(?:ok|warn|fail|unknown)(?:\x1b\[[0-9;]*m|\s)+(?:postgres|backup|data)_\w+")


def program(name: str) -> str:
    """Return the path of a program of this environment."""
    return str(Path(sys.executable).parent / name)


def diagnose(state: Path, *inventories: Path) -> list[str]:
    """Return the wrapper's command that diagnoses the stand-in."""
    extra = [part for path in (OVERLAY, *inventories) for part in ("--inventory", str(path))]
    return [program("runbook"), "run", SYSTEM, RUNBOOK, *extra, "--state", str(state)]


def bare_diagnose() -> list[str]:
    """Return the same as plain Ansible."""
    shipped = ROOT / "inventories" / SYSTEM
    playbook = ROOT / "playbooks" / "database_failure.yml"
    return [program("ansible-playbook"), "-i", str(shipped), "-i", str(OVERLAY), str(playbook)]


def run(command: Sequence[str], environment: Mapping[str, str], expected: int = 0) -> None:
    """Run to the end; raise RuntimeError when it ends with another status."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    _expect(command, expected, done.returncode, done.stdout + done.stderr)


def first_finding(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return the seconds until the first finding is on the terminal that the command is given."""
    master, slave = pty.openpty()
    began = time.monotonic()
    child = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    seen, shown = 0.0, b""
    while part := _read(master):
        shown += part
        if not seen and _FINDING.search(shown):
            seen = time.monotonic() - began
    os.close(master)
    _expect(command, FINDINGS_REMAIN, child.wait(), shown.decode(errors="replace"))
    if not seen:
        raise RuntimeError(f"no finding was shown: {shown[-2000:].decode(errors='replace')}")
    return seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # The other side was closed: so a terminal tells its end.
        return b""


def _expect(command: Sequence[str], expected: int, code: int, output: str) -> None:
    if code != expected:
        raise RuntimeError(f"{' '.join(command)} ended with {code}, not {expected}: {output[-2000:]}")
