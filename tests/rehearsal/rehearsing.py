"""The whole rehearsal by the command that users type."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal import cases, isolation
from runbook.rehearsal.processes import wait_until
from runbook.rehearsal.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ansible.cfg", "collections", "inventories", "playbooks", "plugins")
STAGES = ["diagnose", "recommend", "plan", "apply", "verify"]


def rehearse(
    runbook: str, state: Path, *arguments: str, project: Path = ROOT, system: str = "roost"
) -> tuple[int, str, dict[str, Any]]:
    """Run `runbook rehearse`; return exit code, output and the score."""
    done = subprocess.run(
        [sys.executable, "-m", "runbook.cli", "rehearse", system, runbook, "--scale", "10MB",
         "--state", str(state), "--project", str(project), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    scores = list(state.glob("rehearsals/*/rehearsal.json"))
    return done.returncode, done.stdout + done.stderr, json.loads(scores[-1].read_text()) if scores else {}


def proved(score: dict[str, Any]) -> list[str]:
    """Return the first words of the stages without a problem."""
    return [s["name"].split(":")[0] for s in score["stages"] if not s["problem"]]


def must_pass(runbook: str, state: Path, fault: str, *arguments: str, system: str = "roost") -> list[str]:
    """Rehearse one fault, see every stage proved that it has, and return the stages."""
    about = cases.find_fault(fault, system, runbook)
    if fault == "disk-full" and not isolation.available():
        pytest.skip("a disk is only filled inside a namespace, which this machine does not allow")
    code, output, score = rehearse(runbook, state, "--fault", fault, *arguments, system=system)
    assert code == 0, output
    assert "verified · " in output or "as declared · " in output
    # Every secret of the stand-in begins so; the names of some checks hold the same word.
    assert not [mark for mark in ("canary-", "whsec_", "canarykey") if mark in output.lower()]
    stages = proved(score)
    back = bool(about.mitigation) and (about.ends == "verified" or bool(about.then))
    wanted = STAGES if back else STAGES[:-1] if about.mitigation else STAGES[:2]
    assert [s for s in stages if s in STAGES] == wanted
    assert (stages[-3:-1] == ["undo", "compare"]) == (about.undoes and back)
    assert stages[-1] == "content"
    return stages


def sabotaged(folder: Path, playbook: str, old: str, new: str) -> Path:
    """Return a copy of the project in which `old` is `new` in one playbook."""
    project = folder / "project"
    project.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, project / part)
    file = project / "playbooks" / playbook
    changed = file.read_text().replace(old, new)
    assert changed != file.read_text()
    file.write_text(changed)
    return project


def must_fail_after(
    stage: str, runbook: str, state: Path, project: Path, *arguments: str, system: str = "roost"
) -> None:
    """Rehearse a sabotaged project and see that it does not get past `stage`."""
    code, output, score = rehearse(runbook, state, *arguments, project=project, system=system)
    assert code != 0, output
    assert "FAILED" in output
    assert proved(score)[-1] == stage, output


def apply(made: Stack, state: Path, verb: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `runbook run`, `undo` or `resume` on a stand-in; its output is in `<state>/output`."""
    overlay = ["--inventory", str(ROOT / "inventories" / "rehearsal" / made.system)] if verb == "run" else []
    command = [sys.executable, "-m", "runbook.cli", verb, *arguments, *overlay, "--apply", "--no-input"]
    command += ["--confirm", made.system, "--state", str(state), "--project", str(ROOT)]
    state.mkdir(exist_ok=True)
    with (state / "output").open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, "REHEARSAL_STACK": str(made.path)},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )


def must_apply(made: Stack, state: Path, verb: str, *arguments: str) -> None:
    """The same, and it has to end well."""
    assert apply(made, state, verb, *arguments).wait() == 0, (state / "output").read_text()


def kill_when(
    reached: Callable[[], Any], made: Stack, state: Path, *arguments: str, everything: bool = False
) -> str:
    """Kill a run once `reached` is true, see that nothing of it lives on, and return its id.

    With `everything` all that works for it on the controller is gone at once, as when that loses its power:
    nobody is left who could clean up.
    """
    process = apply(made, state, "run", *arguments)
    wait_until(lambda: bool(reached()), timeout=240, what="what the run is killed at")
    killed = max(folder.name for folder in state.glob("runs/*"))
    for pid in _alive(f"RUNBOOK_RUN_ID={killed}") if everything else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    wait_until(lambda: not _alive(f"ONCALL_RUN_ID={killed}"), timeout=60, what="the end of what was killed")
    return killed


def _alive(mark: str) -> list[int]:
    """Return the processes in whose environment `mark` is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
