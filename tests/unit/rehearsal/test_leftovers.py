"""What the killed leave behind goes with the next start, and nothing that somebody uses does."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runbook.rehearsal import seed
from runbook.rehearsal.postgres_server import PostgresBinaries
from runbook.rehearsal.shapes import ROOST
from runbook.runner_private import sweep

BINARIES = PostgresBinaries("embedded", Path("nowhere"))
HOUR, MONTH = 3600, 30 * 86400


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a build that only makes a folder."""
    monkeypatch.setenv("RUNBOOK_CACHE", str(tmp_path))
    monkeypatch.setattr(PostgresBinaries, "version", "18.6")
    monkeypatch.setattr(seed, "_build", lambda _binaries, _scale, _shape, target: target.mkdir())
    root = seed.cache_folder() / "rehearsal"
    root.mkdir(parents=True)
    return root


@contextmanager
def held(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    yield
    os.close(handle)


def folder(place: Path, name: str, age: float = 0) -> Path:
    made = place / name
    made.mkdir()
    os.utime(made, (time.time() - age,) * 2)
    return made


def test_a_new_seed_replaces_the_one_of_an_older_generator(cache: Path) -> None:
    replaced, in_use = folder(cache, "roost-embedded-1-old"), folder(cache, "roost-embedded-1-used")
    other_size = folder(cache, "roost-embedded-0.2-other")
    with held(in_use):
        made = seed.seed_for(BINARIES, 1.0, ROOST).folder
    assert sorted(cache.iterdir()) == sorted((made, in_use, other_size, cache / "lock"))
    assert not replaced.exists()


def test_what_nobody_wanted_for_two_weeks_goes_and_use_counts(cache: Path) -> None:
    wanted = seed.seed_for(BINARIES, 0.2, ROOST).folder
    os.utime(wanted, (0, 0))
    seed.seed_for(BINARIES, 0.2, ROOST)
    forgotten, unnamed = folder(cache, "system-15-1-x", MONTH), folder(cache, "embedded-0123", MONTH)
    seed.seed_for(BINARIES, 1.0, ROOST)
    assert wanted.exists()
    assert not forgotten.exists()
    assert not unnamed.exists()


def test_only_old_folders_that_nobody_holds_are_swept(tmp_path: Path) -> None:
    dead, young = folder(tmp_path, "oncall-x-dead", HOUR), folder(tmp_path, "oncall-x-young")
    (dead / "password").write_text("canary")
    alive, other = folder(tmp_path, "oncall-x-alive", HOUR), folder(tmp_path, "somebodys", HOUR)
    os.utime(dead, (0, 0))
    with held(alive):
        sweep(tmp_path, "oncall-x-")
    assert sorted(tmp_path.iterdir()) == sorted((young, alive, other))
