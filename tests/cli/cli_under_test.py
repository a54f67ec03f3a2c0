"""The real command on a tiny project of its own: a file that has to say ok."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Cli:
    """`runbook` as a subprocess, with a project, a state folder and an environment that nobody else has."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def file(self) -> Path:
        return self.root / "file"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def runs(self) -> list[Path]:
        return sorted((self.state / "runs").glob("*")) if self.state.exists() else []

    def environment(self) -> dict[str, str]:
        kept = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "RUNBOOK_PROJECT")
        }
        return (
            kept | {"RUNBOOK_STATE": str(self.state), "TINY_FILE": str(self.file), "COLUMNS": "80"} | self.env
        )

    def popen(self, *args: str, **kwargs: Any) -> subprocess.Popen[str]:
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | kwargs
        command = [sys.executable, "-m", "runbook.cli", *args]
        return subprocess.Popen(command, cwd=self.project, env=self.environment(), text=True, **kwargs)

    def __call__(self, *args: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        process = self.popen(*args, **kwargs)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "--json").stdout)


def tiny_project(folder: Path, tree: Path = ROOT) -> Cli:
    """The command on a copy of the tiny project in `folder`, whose file says bad; `tree` has the rest."""
    made = Cli(folder)
    shutil.copytree(Path(__file__).parent / "fixtures" / "tiny", made.project)
    for name in ("plugins", "collections"):
        (made.project / name).symlink_to(tree / name)
    for name in ("roles", "callback_plugins", "preflight"):
        (made.project / "playbooks" / name).symlink_to(tree / "playbooks" / name)
    made.file.write_text("bad")
    return made
