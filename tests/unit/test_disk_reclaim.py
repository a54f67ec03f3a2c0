"""Only declared files go, only until enough is free, and never data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import reclaim as reclaim_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import reclaim


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that so many bytes are missing to the goal; the files themselves are real and really go."""

    def missing(start: int) -> None:
        def left(path: str, goal: float) -> int:
            used = sum(f.lstat().st_blocks * 512 for f in tmp_path.rglob("*") if f.is_file())
            return start - (size[0] - used)

        size = [sum(f.lstat().st_blocks * 512 for f in tmp_path.rglob("*") if f.is_file())]
        monkeypatch.setattr(reclaim_module, "missing_bytes", left)

    return missing


def dump(path: Path, *, blocks: int = 16, hours: float = 48) -> Path:
    """Write an old file of `blocks` pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(4096 * blocks))
    stamp = path.stat().st_mtime - hours * 3600
    os.utime(path, (stamp, stamp))
    return path


def options(folder: Path, *, action: str = "remove", **changed: Any) -> dict[str, Any]:
    """Return the module's parameters for the files `*.sql` in `folder`."""
    candidate = {"paths": [f"{folder}/*.sql"], "older_than_hours": 24.0, "action": action}
    return {"path": str(folder), "goal_percent": 20.0, "candidates": [candidate], "protected": [], **changed}


def test_it_stops_when_the_goal_is_reached_and_takes_the_oldest_first(
    tmp_path: Path, small_disk: Any
) -> None:
    old, new = dump(tmp_path / "a.sql", hours=30), dump(tmp_path / "b.sql", hours=90)
    small_disk(4096)
    planned = reclaim(options(tmp_path), check_mode=True)
    assert old.exists()
    assert new.exists()
    done = reclaim(options(tmp_path), check_mode=False)
    assert planned["items"] == done["items"]
    assert planned["diff"] == done["diff"]
    assert (old.exists(), new.exists()) == (True, False)
    assert done["undo"]["reversible"] is False
    assert reclaim(options(tmp_path), check_mode=False)["changed"] is False


def test_what_is_no_candidate_stays(tmp_path: Path, small_disk: Any) -> None:
    young = dump(tmp_path / "young.sql", hours=1)
    data = dump(tmp_path / "data" / "base.sql")
    (tmp_path / "data" / "PG_VERSION").write_text("18")
    kept = dump(tmp_path / "kept" / "x.sql")
    (tmp_path / "link.sql").symlink_to(dump(tmp_path / "elsewhere.bin"))
    small_disk(4096)
    candidate = {
        "paths": [f"{tmp_path}/*.sql", f"{tmp_path}/*/*.sql"],
        "older_than_hours": 24.0,
        "action": "remove",
    }
    params = options(tmp_path, candidates=[candidate], protected=[str(tmp_path / "kept")])
    assert reclaim(params, check_mode=True)["items"] == []
    with pytest.raises(VerificationError, match="still missing"):
        reclaim(params, check_mode=False)
    assert all(path.exists() for path in (young, data, kept, tmp_path / "link.sql"))


def test_an_emptied_log_leaves_its_end_as_evidence(tmp_path: Path, small_disk: Any) -> None:
    log = dump(tmp_path / "logs" / "c.sql", blocks=1)
    log.write_text("noise\n" * 40000 + "FATAL: password=canary-log\n")
    os.utime(log, (0, 0))
    small_disk(4096)
    done = reclaim(
        options(tmp_path / "logs", action="truncate", evidence_dir=str(tmp_path / "kept")), check_mode=False
    )
    (evidence,) = done["evidence"]
    text = Path(evidence["path"]).read_text()
    assert log.stat().st_size == 0
    assert "FATAL" in text
    assert "canary" not in text
    assert Path(evidence["path"]).stat().st_mode & 0o777 == 0o600


def test_a_relative_glob_is_refused(tmp_path: Path, small_disk: Any) -> None:
    small_disk(1)
    candidate = {"paths": ["*.sql"], "older_than_hours": 0.0, "action": "remove"}
    with pytest.raises(UsageError, match="absolute"):
        reclaim(options(tmp_path, candidates=[candidate]), check_mode=True)
