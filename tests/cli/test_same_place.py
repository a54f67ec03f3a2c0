"""What a run suggests goes to the hosts that the run went to; its undo and resume go nowhere else."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.base import Holder
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.file import FileStore
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.protocol import LockProtocol
from cli_under_test import Cli

RUN = ("run", "tiny", "file-failure")


@pytest.fixture
def overlay(cli: Cli) -> str:
    """An overlay as of a rehearsal, beside the shipped inventories."""
    folder = cli.project / "inventories" / "rehearsal" / "tiny"
    folder.mkdir(parents=True)
    (folder / "hosts.yml").write_text(f"all: {{hosts: {{tiny-1: {{tiny_file: {cli.root}/other}}}}}}\n")
    (cli.root / "other").write_text("bad")
    return "inventories/rehearsal/tiny"


def _suggested(out: str, mark: str) -> list[str]:
    line = next(line for line in out.splitlines() if mark in line)
    return shlex.split(line.split(mark, 1)[1].strip())[1:]


def test_what_is_suggested_can_be_pasted_and_stays_on_the_stand_in(cli: Cli, overlay: str) -> None:
    done = cli(*RUN, "--inventory", overlay, "--limit", "tiny-1", "--state", str(cli.state))
    plan = _suggested(done.stdout, "plan it:")
    where = ["--inventory", overlay, "--limit", "tiny-1", "--state", str(cli.state)]
    assert plan == [*RUN, "--mitigation", "rewrite", *where]
    assert cli(*plan, "--apply", "--confirm", "tiny").returncode == 0
    assert (cli.root / "other").read_text() == "ok"
    assert cli.file.read_text() == "bad"
    assert json.loads((cli.runs[-1] / "result.json").read_text())["rehearsal"] is True
    # Nothing of it is about the real system.
    assert "never" in cli("list").stdout
    assert "(rehearsal)" in cli("runs").stdout


@pytest.mark.parametrize("command", ["undo", pytest.param("resume", marks=pytest.mark.slow)])
def test_another_inventory_is_refused(cli: Cli, overlay: str, tmp_path: Path, command: str) -> None:
    lock = LockProtocol(FileStore("tiny", {"directory": str(cli.file.parent / "locks")}))
    lock.acquire(Holder("20260101t000000z-abcdef", "bob", "elsewhere", 1, "rewrite"), 300.0)
    applied = (*RUN, "--mitigation", "rewrite", "--apply", "--confirm", "tiny", "--inventory", overlay)
    assert cli(*applied).returncode == 7
    other = tmp_path / "other.yml"
    other.write_text("all: {}\n")
    before = cli.runs
    refused = cli(command, before[-1].name, "--inventory", str(other))
    assert refused.returncode == 4, refused.stderr
    assert overlay in refused.stderr
    assert cli.runs == before
    again = cli(command, before[-1].name)
    recorded = json.loads((cli.runs[-1] / "result.json").read_text())
    assert len(cli.runs) == len(before) + 1, again.stderr
    assert recorded["asked"]["inventories"][1:] == [str(cli.project / overlay)]


@pytest.mark.slow
def test_undo_last_is_the_newest_change_in_place_and_a_refusal_is_short(cli: Cli) -> None:
    assert cli(*RUN, "--mitigation", "rewrite", "--apply", "--confirm", "tiny").returncode == 0
    changed = cli.runs[-1].name
    assert cli(*RUN).returncode == 0
    refused = cli("undo", "last")
    assert f"undo of {changed}" in refused.stdout
    # The change of the tiny runbook has no recorded undo.
    assert refused.returncode == 4, refused.stderr
    assert "Findings" not in refused.stdout
    assert f"Next: see what it did: runbook show-run {changed}" in refused.stdout
    # A run that only looked leaves nothing to take back.
    for run in cli.runs[:2]:
        shutil.rmtree(run)
    assert "nothing to undo" in cli("undo", "last").stderr
