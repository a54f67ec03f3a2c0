"""Block devices of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_disk import Disk, has_loops


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not has_loops():
        pytest.skip("only root with loop devices and mkfs.ext4 makes a file system here")
    made = Disk(tmp_path)
    yield made
    made.detach()
