"""The real command on a tiny project of its own: a file that has to say ok."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_under_test import ROOT, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command on a fresh copy of the tiny project, whose file says bad."""
    made = Cli(tmp_path)
    shutil.copytree(Path(__file__).parent / "fixtures" / "tiny", made.project)
    for name in ("plugins", "collections"):
        (made.project / name).symlink_to(ROOT / name)
    (made.project / "playbooks" / "roles").symlink_to(ROOT / "playbooks" / "roles")
    made.file.write_text("bad")
    return made
