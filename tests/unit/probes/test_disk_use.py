"""What takes the space is named, and a deleted file that is open is seen; nothing is waited for for long."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import disk_use
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.disk_use import (
    look,
    measure_deleted,
    measure_use,
)

KIB = 1024


def write(path: Path, kib: int) -> Path:
    """Write a file that takes so much space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(kib * KIB))
    return path


def test_each_byte_counts_for_its_folder_and_the_root(tmp_path: Path) -> None:
    large = write(tmp_path / "logs" / "deep" / "api.log", 400)
    write(tmp_path / "images" / "one", 100)
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    seen = look([str(tmp_path)], time.monotonic() + 5)
    assert seen.complete
    assert seen.folders[str(tmp_path / "logs")] == large.stat().st_blocks * 512
    assert seen.folders[str(tmp_path)] >= 500 * KIB
    assert max(seen.files)[1] == str(large)
    assert str(tmp_path / "link") not in seen.folders


def test_what_was_not_seen_in_time_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a", 4)
    (found,) = measure_use(str(tmp_path), [str(tmp_path), str(tmp_path / "none")], -1.0)
    assert found["status"] == "ok"
    assert found["observed"]["complete"] is False
    assert "Not all of it was seen" in found["summary"]


def test_its_growth_says_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter((10_000_000, 9_000_000, 9_000_000))
    monkeypatch.setattr(disk_use, "_free", lambda _path: next(free))
    monkeypatch.setattr(disk_use, "_GROWTH_S", 0.05)
    (found,) = measure_use(str(tmp_path), [str(tmp_path)], 0.05)
    assert found["observed"]["grows_per_s"] > 0
    assert "full in" in found["summary"]


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that the file system has so many bytes; what others of this machine hold there is told, too."""
    monkeypatch.setattr(disk_use, "TOP", 1 << 20)

    def whole(count: int) -> None:
        monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_blocks=count, f_frsize=1))

    return whole


def deleted(folder: Path) -> dict[str, Any]:
    """Return the finding on the file system of `folder`."""
    (found,) = measure_deleted([str(folder), ""])
    return found


@pytest.mark.parametrize(("whole", "status"), [(2**20, "fail"), (2**50, "ok")])
def test_a_deleted_file_that_is_open_is_seen(
    tmp_path: Path, small_disk: Callable[[int], None], whole: int, status: str
) -> None:
    path = write(tmp_path / "gone.log", 512)
    small_disk(whole)
    with path.open("rb"):
        assert not [one for one in deleted(tmp_path)["observed"]["held"] if one["path"] == str(path)]
        path.unlink()
        found = deleted(tmp_path)
    if status == "fail":
        assert found["status"] == "fail"
    (mine,) = [one for one in found["observed"]["held"] if one["path"] == str(path)]
    assert mine["pid"] == os.getpid()
    assert mine["bytes"] >= 512 * KIB
