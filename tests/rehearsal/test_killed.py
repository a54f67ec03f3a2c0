"""A run that is killed with its change in place: nothing of it lives on, and its undo gives all back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rehearsing import ROOT

from runbook.rehearsal import cases, stack
from runbook.rehearsal.cases.roost.auth_outage import AuthOutage
from runbook.rehearsal.parts import services
from runbook.rehearsal.processes import wait_until

pytestmark = pytest.mark.slow
OVERLAY = ROOT / "inventories" / "rehearsal" / "roost"


def _command(state: Path, verb: str, *arguments: str) -> list[str]:
    where = ["--inventory", str(OVERLAY)] if verb == "run" else []
    common = ["--apply", "--confirm", "roost", "--no-input", "--state", str(state), "--project", str(ROOT)]
    return [sys.executable, "-m", "runbook.cli", verb, *arguments, *where, *common]


def _lives(mark: str) -> list[str]:
    """Return the command lines of processes in whose environment `mark` is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_a_run_killed_with_its_change_in_place_is_taken_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with stack.running(stack.Options(scale=0.2, parts=AuthOutage.parts)) as made:
        cases.find_fault("tokens-expire-at-once", "roost").run("fault", made)
        case = AuthOutage()
        before = case.picture(made)
        environment = {**os.environ, "REHEARSAL_STACK": str(made.path)}
        asked = ("roost", "auth-outage", "--mitigation", "extend-token-lifetime")
        with (tmp_path / "output").open("wb") as output:
            run = subprocess.Popen(
                _command(state, "run", *asked), env=environment, cwd=ROOT, stdout=output, stderr=output
            )
            wait_until(lambda: bool(_changed(state)), timeout=240, what="the change")
            run.kill()
            run.wait()
        assert services.read_settings(made.facts)["AUTH_JWT_EXPIRY"] == "86400"
        killed = _changed(state)
        wait_until(
            lambda: not _lives(f"ONCALL_RUN_ID={killed}"), timeout=60, what="the end of what was killed"
        )
        done = subprocess.run(
            _command(state, "undo", killed),
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert case.differences(before, case.picture(made), undone=True) == []


def _changed(state: Path) -> str:
    """Return the run whose record says that it changed something, "" while there is none."""
    for log in state.glob("runs/*/events.jsonl"):
        events = [json.loads(line) for line in log.read_text().splitlines()[:-1]]
        applied = any(e["type"] == "run.started" and not e["data"]["check_mode"] for e in events)
        if applied and any(e["type"] == "step.finished" and e["data"]["status"] == "changed" for e in events):
            return log.parent.name
    return ""
