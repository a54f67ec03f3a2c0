"""Roost rehearsed in containers: the compose project, the runtimes and the names of the shipped inventory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rehearsing import ROOT, must_fail_after, must_pass, rehearse, sabotaged

from runbook.rehearsal import engine_view, isolation
from runbook.rehearsal.processes import StandInError, alive

pytestmark = [pytest.mark.slow, pytest.mark.containers]
TIER = ("--tier", "docker")


@pytest.fixture(autouse=True)
def engine() -> None:
    """Skip, saying why, where this machine cannot have an engine of its own."""
    try:
        engine_view.require()
    except StandInError as error:
        pytest.skip(f"NOT TESTED: {error}")


@pytest.mark.parametrize(
    ("runbook", "fault"),
    [
        ("stream-outage", "relay-killed"),
        # Longer tokens: written where compose reads it, the container made again; then taken back.
        ("auth-outage", "tokens-expire-at-once"),
        # A new secret: the old one is refused, the new one accepted, by three containers.
        ("auth-outage", "secret-lost"),
        # A container that runs with something else than its file says is made again.
        ("auth-outage", "secret-differs"),
        ("database-failure", "postmaster-killed"),
        # A restore by the programs inside the container, and taken back.
        ("database-failure", "corrupt-tables"),
        # Old images and a log go; what a rollback needs, and the log of a container that fell, stay.
        ("database-failure", "disk-full"),
    ],
)
def test_it_is_found_mended_and_seen_from_outside(runbook: str, fault: str, tmp_path: Path) -> None:
    must_pass(runbook, tmp_path, fault, *TIER)


def test_a_restart_that_restarts_nothing_is_caught(tmp_path: Path) -> None:
    project = sabotaged(tmp_path, "stream_outage.yml", "tasks_from: restart\n", "tasks_from: status\n")
    must_fail_after("recommend", "stream-outage", tmp_path / "state", project, *TIER)


def test_nothing_is_left_and_the_score_says_what_it_ran_on(tmp_path: Path) -> None:
    before = _left_groups()
    _, _, score = rehearse("stream-outage", tmp_path, "--fault", "tunnel-down", *TIER)
    assert score["isolation"] == "containers"
    assert _left_groups() <= before
    mounts = Path("/proc/self/mountinfo").read_text()
    assert "oncall-stack-" not in mounts


def _left_groups() -> set[Path]:
    """Return the control groups of rehearsals that have ended: those that run are somebody's."""
    groups = Path("/sys/fs/cgroup").glob("**/oncall-rehearsal-*")
    return {path for path in groups if path.is_dir() and not alive(int(path.name.rpartition("-")[2]))}


def test_without_an_engine_it_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runbook.cli", "rehearse", "roost", "stream-outage", *TIER,
         "--state", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "no containers here: there is no program docker" in done.stderr
    assert "rehearse without --tier docker" in done.stderr


def test_what_runs_without_asking_for_it_is_no_container() -> None:
    assert isolation.tier() == "embedded"
