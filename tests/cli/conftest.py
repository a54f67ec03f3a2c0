"""The real command on a tiny project of its own: a file that has to say ok."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_under_test import Cli, tiny_project


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A tiny project of one test's own."""
    return tiny_project(tmp_path)
