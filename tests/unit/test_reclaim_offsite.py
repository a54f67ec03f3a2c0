"""A backup goes only when the store tells its very content; missing inodes count like missing bytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import reclaim as reclaim_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import reclaim_offsite
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import measure, reclaim
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim_offsite import unproved


def backup(path: Path, *, age: int = 1, kib: int = 64) -> dict[str, Any]:
    """Write a backup `age` days old, and return what a store tells of its copy."""
    content = os.urandom(kib * 1024)
    path.write_bytes(content)
    stamp = path.stat().st_mtime - age * 86400
    os.utime(path, (stamp, stamp))
    return {
        "key": f"postgres/{path.name}",
        "size": len(content),
        "etag": f'"{hashlib.md5(content).hexdigest()}"',
    }


def test_only_the_same_content_proves(tmp_path: Path) -> None:
    path = tmp_path / "a.sql.gz"
    copy = backup(path)
    assert unproved(str(path), [copy]) == ""
    assert "no copy" in unproved(str(path), [{**copy, "key": "postgres/b.sql.gz"}])
    assert "bytes" in unproved(str(path), [{**copy, "size": 20}])
    other = {**copy, "etag": hashlib.md5(b"other").hexdigest()}
    for etag in (other["etag"], "", "something else"):
        assert "content" in unproved(str(path), [{**copy, "etag": etag}])
    assert unproved(str(path), [other, copy]) == ""


def test_an_upload_in_parts_proves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaim_offsite, "_PART_SIZES", (10 * 1024, 25 * 1024, 32 * 1024))
    path = tmp_path / "a.sql.gz"
    copy = backup(path)
    content = path.read_bytes()
    for length in (25 * 1024, 32 * 1024):
        parts = [content[at : at + length] for at in range(0, len(content), length)]
        joined = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        assert unproved(str(path), [{**copy, "etag": f"{joined}-{len(parts)}"}]) == ""
        assert unproved(str(path), [{**copy, "etag": f"{joined}-{len(parts) + 1}"}])


def options(folder: Path, **more: Any) -> dict[str, Any]:
    """Return the module's parameters for the backups in `folder`."""
    candidate = {"paths": [f"{folder}/*.gz"], "older_than_hours": 0.0, "action": "remove", **more}
    return {"path": str(folder), "goal_percent": 20.0, "candidates": [candidate], "protected": []}


def missing(monkeypatch: pytest.MonkeyPatch, folder: Path, count: int, inodes: int = 0) -> None:
    """Pretend that so many bytes and inodes are missing; files that go give theirs back."""
    there = list(folder.iterdir())
    size = sum(path.stat().st_blocks * 512 for path in there)

    def left(_path: str, _goal: float) -> int:
        return count - (size - sum(path.stat().st_blocks * 512 for path in folder.iterdir()))

    monkeypatch.setattr(reclaim_module, "missing_bytes", left)
    monkeypatch.setattr(
        reclaim_module,
        "missing_inodes",
        lambda _path, _goal: inodes - (len(there) - len(list(folder.iterdir()))),
    )


def test_backups_go_only_when_proved_and_the_newest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [backup(tmp_path / f"{age}.gz", age=age) for age in (1, 2, 3)]
    copies[2]["etag"] = "0" * 32
    missing(monkeypatch, tmp_path, 10**9)
    asked = {**options(tmp_path, offsite=True, keep_newest=1), "offsite": copies}
    assert measure(asked, "backups_reclaimable")["status"] == "unknown"
    planned = reclaim(asked, check_mode=True)
    assert [Path(item["path"]).name for item in planned["items"]] == ["2.gz"]
    with pytest.raises(VerificationError, match=r"3\.gz stays"):
        reclaim(asked, check_mode=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.gz", "3.gz"]


def test_inodes_count_like_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age in (1, 2, 3):
        backup(tmp_path / f"{age}.gz", age=age)
    missing(monkeypatch, tmp_path, -1, inodes=2)
    found = measure(options(tmp_path))
    assert (found["status"], "2 inodes are missing" in found["summary"]) == ("ok", True)
    assert reclaim(options(tmp_path, action="truncate"), check_mode=True)["items"] == []
    done = reclaim(options(tmp_path), check_mode=False)
    assert len(done["items"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["1.gz"]


def test_a_file_system_that_makes_inodes_misses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, free, wanted in ((0, 0, 0), (1000, 100, 100), (1000, 300, -100)):
        told = SimpleNamespace(f_files=files, f_favail=free)
        monkeypatch.setattr(os, "statvfs", lambda _path, told=told: told)
        assert reclaim_module.missing_inodes("/", 20.0) == wanted
