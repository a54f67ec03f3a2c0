"""Packed modules are kept for the next run, and lent only where they are what would be packed again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runbook_engine.builds import IN_A_RUN, Builds, Sources

ROOT = Path(__file__).resolve().parents[3]
PACKED = "ansible_collections.oncall.runbooks.plugins.modules.lease-ZIP_DEFLATED-none"
FOREIGN = "ansible_collections.community.general.plugins.modules.lease-ZIP_DEFLATED-none"


class Place:
    """A collection, Ansible's own utilities, and a cache; each run has a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins, self.ansible = folder / "collection" / "plugins", folder / "ansible"
        self.cache = folder / "cache"
        for path in (self.util, self.plugins / "modules" / "lease.py", self.ansible / "basic.py"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("content = 1\n")
        # Whatever a run edits is newer than its beginning; the clock of a file system is coarse.
        time.sleep(0.02)

    @property
    def util(self) -> Path:
        return self.plugins / "module_utils" / "findings.py"

    def run(self, *, version: str = "2.19.4") -> Builds:
        run = self.folder / f"run-{time.monotonic_ns()}"
        sources = Sources(self.plugins, [self.ansible], version)
        return Builds(sources, run, {"RUNBOOK_CACHE": str(self.cache)})

    def packs(self, builds: Builds, *names: str, content: bytes = b"packed") -> int:
        folder = builds._run
        folder.mkdir(parents=True, exist_ok=True)
        for name in names or (PACKED,):
            (folder / name).write_bytes(content)
        return builds.keep()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_a_run_has_packed_is_lent_to_the_next(place: Place) -> None:
    assert place.run().lend() == 0
    assert place.packs(place.run()) == 1
    after = place.run()
    assert after.lend() == 1
    assert (after._run / PACKED).read_bytes() == b"packed"
    assert after.keep() == 0  # it is kept already
    assert after._run.name == IN_A_RUN


def test_only_modules_of_the_collection_are_kept(place: Place) -> None:
    builds = place.run()
    assert place.packs(builds, PACKED, FOREIGN, PACKED + "-part", PACKED + ".lock") == 1
    after = place.run()
    assert after.lend() == 1
    assert not (after._run / FOREIGN).exists()


@pytest.mark.parametrize("changed", ["edited", "added", "removed", "Ansible's", "Ansible"])
def test_another_source_is_another_module(place: Place, changed: str) -> None:
    place.packs(place.run())
    if changed == "edited":
        place.util.write_text("content = 2\n")
    elif changed == "added":
        place.util.with_name("more.py").write_text("")
    elif changed == "removed":
        place.util.unlink()
    elif changed == "Ansible's":
        (place.ansible / "basic.py").write_text("content = 23\n")
    after = place.run(version="2.19.5" if changed == "Ansible" else "2.19.4")
    assert after.lend() == 0


def test_a_source_that_was_edited_meanwhile_spoils_nothing(place: Place) -> None:
    builds = place.run()
    before = place.util.read_text()
    place.util.write_text("content = 2\n")
    place.util.write_text(before)  # as it was, but what was packed in between is not
    assert place.packs(builds) == 0
    assert place.run().lend() == 0


def test_half_a_file_is_not_lent(place: Place) -> None:
    place.packs(place.run())
    kept = next(place.cache.rglob(PACKED))
    kept.write_bytes(b"pac")
    assert place.run().lend() == 0
    place.packs(place.run())
    assert place.run().lend() == 1


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_folder_that_others_may_write_or_read_is_not_used(place: Place, mode: int) -> None:
    place.packs(place.run())
    (place.cache / "modules").chmod(mode)
    assert place.run().lend() == 0
    assert place.packs(place.run()) == 0


def test_a_link_in_place_of_the_folder_is_not_followed(place: Place, tmp_path: Path) -> None:
    place.packs(place.run())
    (place.cache / "modules").rename(tmp_path / "elsewhere")
    (place.cache / "modules").symlink_to(tmp_path / "elsewhere")
    assert place.run().lend() == 0


def test_old_sets_are_forgotten(place: Place) -> None:
    for number in range(7):
        place.util.write_text(f"content = {number}\n")
        time.sleep(0.02)
        place.packs(place.run())
    assert len(list((place.cache / "modules").iterdir())) == 4
    assert place.run().lend() == 1


def test_a_real_run_keeps_its_modules_and_the_next_uses_them(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text("- {hosts: localhost, gather_facts: false, tasks: [oncall.runbooks.host_health: {}]}\n")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local"]
    ours = {"RUNBOOK_CACHE": str(tmp_path / "cache"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    kept = []
    for _ in range(2):
        done = subprocess.run(
            [*command, str(play)],
            cwd=ROOT,
            env={**os.environ, **ours},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        kept.append([(path, path.stat().st_mtime_ns) for path in (tmp_path / "cache").rglob("*host_health*")])
    # Packed anew it would have been kept anew.
    assert len(kept[0]) == 1
    assert kept[0] == kept[1]
