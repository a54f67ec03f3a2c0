"""Only declared files go, only until enough is free, and never data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import reclaim as reclaim_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import measure, reclaim


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


def test_a_candidate_that_names_nothing_is_refused(tmp_path: Path, small_disk: Any) -> None:
    small_disk(1)
    candidate = {"paths": [], "older_than_hours": 0.0, "action": "remove"}
    with pytest.raises(UsageError, match="paths, images or build_cache"):
        reclaim(options(tmp_path, candidates=[candidate]), check_mode=True)


def test_whether_it_would_be_enough_is_a_finding(tmp_path: Path, small_disk: Any) -> None:
    file = dump(tmp_path / "a.sql")
    for missing, status in ((0, "ok"), (4096, "ok"), (10**12, "fail")):
        small_disk(missing)
        found = measure(options(tmp_path))
        assert (found["check"], found["status"]) == ("disk_reclaimable", status)
    assert measure(options(tmp_path / "none"))["status"] == "unknown"
    assert file.exists()


def image(number: int, *tags: str, created: str, **more: Any) -> dict[str, Any]:
    """Return what an engine tells of an image."""
    return {"Id": f"sha256:{number:064d}", "RepoTags": list(tags), "Created": created, "Config": {}, **more}


FAKE_ENGINE = """#!/bin/sh
echo "$@" >> {folder}/calls
case "$1 $2" in
  "info --format") echo {folder} ;;
  "ps --all") case "$*" in *filter*) ;; *) echo c1 ;; esac ;;
  "inspect --type") echo sha256:{used:064d} ;;
  "image ls") cat {folder}/ids ;;
  "image inspect") cat {folder}/images ;;
  "system df") cat {folder}/df ;;
  "image rm") ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that answers as docker's does; the real engine has tests of its own."""
    images = [
        image(1, "r.invalid:5000/api:1", created="2020-01-01T00:00:00Z"),
        image(2, "r.invalid:5000/api:2", created="2020-01-02T00:00:00Z"),
        image(
            3,
            "r.invalid:5000/api:3",
            created="2020-01-03T00:00:00Z",
            RepoDigests=["r.invalid:5000/api@sha256:1"],
        ),
        image(4, "web:1", created="2020-01-01T00:00:00Z"),
        image(5, "web:2", created="2020-01-02T00:00:00Z", Parent=f"sha256:{4:064d}"),
        # Made long ago, pulled today.
        image(6, "old:1", created="2020-01-01T00:00:00Z", Metadata={"LastTagTime": "2999-01-01T00:00:00.5Z"}),
        image(7, created="2019-01-01T00:00:00Z"),
        image(8, created="2019-01-02T00:00:00Z"),
    ]
    (tmp_path / "ids").write_text("".join(f"{one['Id']}\n" for one in images))
    (tmp_path / "images").write_text(json.dumps(images))
    sizes = [{"ID": one["Id"], "UniqueSize": "1.5MB"} for one in images]
    (tmp_path / "df").write_text(json.dumps({"Images": sizes}))
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(FAKE_ENGINE.format(folder=tmp_path, used=5))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


def test_images_of_a_rollback_stay_and_only_images_are_removed(
    fake_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [10**9]
    monkeypatch.setattr(reclaim_module, "missing_bytes", lambda path, goal: answers.pop() if answers else 0)
    rules = {"engine": "docker", "keep_releases": 1, "keep": ["api:2$"]}
    candidate = {"paths": [], "images": rules, "older_than_hours": 24.0, "action": "remove"}
    done = reclaim(options(fake_engine, candidates=[candidate]), check_mode=False)
    assert [one["path"] for one in done["items"]] == ["0" * 12, "r.invalid:5000/api:1"]
    assert sum(one["bytes"] for one in done["items"]) == 3_000_000
    calls = (fake_engine / "calls").read_text().splitlines()
    changing = [c for c in calls if c.split()[1] == "rm" or "prune" in c]
    assert changing == [f"image rm sha256:{7:064d}", "image rm r.invalid:5000/api:1"]


def test_a_missing_engine_keeps_no_file_from_being_freed(
    tmp_path: Path, small_disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = dump(tmp_path / "a.sql")
    small_disk(4096)
    monkeypatch.setenv("PATH", str(tmp_path))
    rules = {"engine": "docker", "keep_releases": 2, "keep": []}
    images = {"paths": [], "images": rules, "older_than_hours": 0.0, "action": "remove"}
    params = options(tmp_path, candidates=[images, *options(tmp_path)["candidates"]])
    assert measure(params)["status"] == "ok", "the file is enough"
    done = reclaim(params, check_mode=False)
    assert "docker" in done["warnings"][0]
    assert not old.exists()


def test_a_relative_glob_is_refused(tmp_path: Path, small_disk: Any) -> None:
    small_disk(1)
    candidate = {"paths": ["*.sql"], "older_than_hours": 0.0, "action": "remove"}
    with pytest.raises(UsageError, match="absolute"):
        reclaim(options(tmp_path, candidates=[candidate]), check_mode=True)


@pytest.mark.parametrize(
    ("state", "goes"),
    [
        ({"Running": True, "Pid": os.getpid()}, True),
        ({"Running": False, "Pid": 0}, False),
        # An engine whose disk is full could not note that it has ended.
        ({"Running": True, "Pid": 2**22 + 1}, False),
        (None, True),
    ],
)
def test_the_log_of_a_container_that_has_ended_stays(
    tmp_path: Path, small_disk: Any, state: dict[str, Any] | None, goes: bool
) -> None:
    log = dump(tmp_path / "c0ffee" / "c0ffee-json.log")
    if state is not None:
        (log.parent / "config.v2.json").write_text(json.dumps({"State": state}))
    small_disk(4096)
    asked = options(tmp_path, action="truncate")
    asked["candidates"][0]["paths"] = [f"{tmp_path}/*/*-json.log"]
    planned = reclaim(asked, check_mode=True)
    assert [item["path"] for item in planned["items"]] == ([str(log)] if goes else [])
