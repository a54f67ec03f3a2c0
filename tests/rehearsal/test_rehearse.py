"""The whole rehearsal by the command that users type: proved, and able to fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ansible.cfg", "collections", "inventories", "playbooks", "plugins")
STAGES = ["diagnose", "recommend", "plan", "apply", "verify"]


def rehearse(state: Path, *arguments: str, project: Path = ROOT) -> tuple[int, str, dict[str, object]]:
    """Run `runbook rehearse` for Roost's database; return exit code, output and the score."""
    done = subprocess.run(
        [sys.executable, "-m", "runbook.cli", "rehearse", "roost", "database-failure", "--scale", "10MB",
         "--state", str(state), "--project", str(project), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    scores = list(state.glob("rehearsals/*/rehearsal.json"))
    return done.returncode, done.stdout + done.stderr, json.loads(scores[-1].read_text()) if scores else {}


def proved(score: dict[str, object]) -> list[str]:
    """Return the first words of the stages without a problem."""
    return [s["name"].split(":")[0] for s in score["stages"] if not s["problem"]]  # type: ignore[attr-defined]


def test_a_damaged_database_is_found_restored_verified_and_given_back(tmp_path: Path) -> None:
    code, output, score = rehearse(tmp_path / "state", "--fault", "corrupt-tables")
    assert code == 0, output
    assert output.strip().splitlines()[-1].startswith("verified · ") or "verified · " in output
    assert [s for s in proved(score) if s in STAGES] == STAGES
    assert proved(score)[-2:] == ["undo", "compare"]
    assert score["loss_rows"]
    assert "canary" not in output.lower()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    ["dropped-table", "postmaster-stopped", "postmaster-killed", "connections-exhausted", "disk-full"],
)
def test_every_other_fault_has_its_mitigation(tmp_path: Path, fault: str) -> None:
    code, output, score = rehearse(tmp_path / "state", "--fault", fault)
    assert code == 0, output
    assert [s for s in proved(score) if s in STAGES] == STAGES


def test_a_runbook_whose_restore_restores_nothing_is_caught(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, project / part)
    playbook = project / "playbooks" / "database_failure.yml"
    sabotaged = playbook.read_text().replace("tasks_from: restore\n", "tasks_from: status\n")
    assert sabotaged != playbook.read_text()
    playbook.write_text(sabotaged)
    code, output, score = rehearse(tmp_path / "state", project=project)
    assert code != 0, output
    assert "FAILED" in output
    assert proved(score)[-1] == "recommend", output
