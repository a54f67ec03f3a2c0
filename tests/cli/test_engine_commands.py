"""`approve`, `audit`, `lock` and `resume`: the engine's rules from the command line, on real runs."""

from __future__ import annotations

import tarfile
import time
from pathlib import Path

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.base import Holder
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.file import FileStore
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.protocol import LockProtocol
from cli_under_test import Cli

PLAN = ("run", "tiny", "file-failure", "--mitigation", "rewrite")
APPLY = (*PLAN, "--apply", "--confirm", "tiny")
OTHER = "20260101t000000z-abcdef"


def _as(cli: Cli, operator: str) -> Cli:
    cli.env["RUNBOOK_OPERATOR"] = operator
    return cli


@pytest.fixture
def guarded(cli: Cli) -> Cli:
    """A system whose inventory wants a second operator."""
    declared = cli.project / "inventories" / "tiny" / "group_vars" / "all" / "system.yml"
    text = declared.read_text()
    asked = "rpo_hours: 1, approvals: {rewrite: {required: true, expires_minutes: 5}}"
    declared.write_text(text.replace("rpo_hours: 1", asked))
    return _as(cli, "alice")


def test_another_operator_approves_a_plan_and_only_that_one(guarded: Cli) -> None:
    refused = guarded(*APPLY)
    assert refused.returncode == 4, refused.stderr
    run = guarded.runs[-1].name
    assert f"runbook approve {run}" in refused.stderr
    own = guarded("approve", run)
    assert (own.returncode, "own plan" in own.stderr) == (4, True)
    assert _as(guarded, "bob")("approve", run).returncode == 0
    assert guarded.file.read_text() == "bad"
    guarded.file.write_text("worse")
    assert _as(guarded, "alice")(*APPLY).returncode == 4
    guarded.file.write_text("bad")
    done = guarded(*APPLY, "--json")
    assert done.returncode == 0, done.stderr
    assert '"approved_by": "bob"' in done.stdout


def test_break_glass_needs_a_reason_and_says_so(guarded: Cli) -> None:
    assert guarded(*APPLY, "--break-glass").returncode == 2
    done = guarded(*APPLY, "--break-glass", "nobody answers the phone")
    assert done.returncode == 0, done.stderr
    assert "BREAK-GLASS, because: nobody answers the phone" in " ".join(done.stdout.split())


def test_audit_exports_what_it_has_verified_and_finds_an_edit(cli: Cli, tmp_path: Path) -> None:
    assert cli(*APPLY).returncode == 0
    assert cli("audit", "verify", "last").returncode == 0
    packed = tmp_path / "record.tar.gz"
    told = cli.json("audit", "export", "last", str(packed))
    with tarfile.open(packed) as archive:
        names = archive.getnames()
    assert names == [f"{told['run']}/{name}" for name in ("events.jsonl", "result.json")]
    first = packed.read_bytes()
    time.sleep(1.1)  # gzip would store the time, in seconds
    cli("audit", "export", "last", str(packed))
    assert packed.read_bytes() == first
    assert packed.stat().st_mode & 0o777 == 0o600
    events = cli.runs[-1] / "events.jsonl"
    events.write_text(events.read_text().replace('"changed":true', '"changed":null', 1))
    bad = cli("audit", "verify", "last")
    assert bad.returncode == 9
    assert "event" in bad.stderr


def test_the_lock_is_shown_broken_and_a_refused_run_resumed(cli: Cli) -> None:
    protocol = LockProtocol(FileStore("tiny", {"directory": str(cli.file.parent / "locks")}))
    assert cli("lock", "show", "tiny").returncode == 0
    protocol.acquire(Holder(OTHER, "bob", "elsewhere", 1, "rewrite"), 300.0)
    shown = cli("lock", "show", "tiny")
    assert (shown.returncode, f"HELD by run {OTHER} of bob" in shown.stdout) == (7, True), shown.stderr
    assert cli(*APPLY).returncode == 7
    assert cli("lock", "break", "tiny", "--reason", "bob is asleep").returncode == 4
    wrong = cli("lock", "break", "tiny", "--reason", "x", "--confirm", "tiny", "--holder", cli.runs[-1].name)
    assert wrong.returncode != 0
    assert protocol.info()["lock"]["held"]
    broken = cli("lock", "break", "tiny", "--reason", "bob is asleep", "--confirm", "tiny", "--holder", OTHER)
    assert broken.returncode == 0, broken.stderr
    resumed = cli("resume", "last", "--apply", "--confirm", "tiny")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert cli.file.read_text() == "ok"
    assert cli("resume", "last").returncode == 2


@pytest.mark.slow
def test_a_run_is_not_resumed_when_the_plan_is_another_one(cli: Cli) -> None:
    protocol = LockProtocol(FileStore("tiny", {"directory": str(cli.file.parent / "locks")}))
    protocol.acquire(Holder(OTHER, "bob", "elsewhere", 1, "rewrite"), 300.0)
    assert cli(*APPLY).returncode == 7
    protocol.break_("test", "over")
    playbook = cli.project / "playbooks" / "file_failure.yml"
    playbook.write_text(playbook.read_text() + "# edited\n")
    again = cli("resume", "last", "--apply", "--confirm", "tiny")
    assert again.returncode == 4, again.stderr
    assert "differs in content" in " ".join(again.stdout.split())
    assert cli.file.read_text() == "bad"
