"""Fixtures of the tests of the lock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lock_runs import Runs


@pytest.fixture
def runs(server_folder: Path, tmp_path: Path) -> Iterator[Runs]:
    """Runs against one local target."""
    folder = server_folder / tmp_path.name
    (folder / "locks").mkdir(parents=True)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    found = Runs(folder, {"one": local})
    yield found
    found.end()
