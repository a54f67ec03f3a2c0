"""The real command on a tiny project of its own: a file that has to say ok."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_under_test import ROOT, Cli, tiny_project


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what runs execute: a plan is bound to every byte of it, and a checkout may be worked in."""
    made = tmp_path_factory.mktemp("tree")
    skipped = shutil.ignore_patterns("__pycache__", ".*", "*.md")
    for part in ("plugins", "collections", "playbooks"):
        shutil.copytree(ROOT / part, made / part, ignore=skipped, symlinks=True)
    return made


@pytest.fixture
def cli(tmp_path: Path, tree: Path) -> Cli:
    """A tiny project of one test's own."""
    return tiny_project(tmp_path, tree)
