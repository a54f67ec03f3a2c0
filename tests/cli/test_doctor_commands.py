"""`runbook doctor` on a tiny system, and on a stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cli_under_test import ROOT, Cli

from runbook.rehearsal import stack
from runbook.rehearsal.stack import Options, Stack

SECRET = "canary-doctor-5"


def test_a_system_that_lacks_something_is_told_what(cli: Cli) -> None:
    variables = cli.project / "inventories" / "tiny" / "group_vars" / "all" / "key.yml"
    variables.write_text(
        "tiny_key: \"{{ vault_tiny_key | default('') }}\"\n"
        "tiny_other: \"{{ undef(hint='set it') }}\"\n"
        f"tiny_good: {SECRET}\n"
    )
    (cli.project / "inventories/tiny/vault.example.yml.txt").write_text('vault_tiny_key: ""\ntiny_good: ""\n')
    done = cli("doctor", "tiny", "--exit-on-issues", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    found = [(one["check"], one["status"]) for one in told["systems"][0]["findings"]]
    assert ("variables", "fail") in found
    assert ("secrets", "warn") in found
    assert ("secrets", "ok") in found
    assert ("host_python", "ok") in found
    assert ("proof", "warn") in found
    assert told["issues"] == sum(status == "fail" for _check, status in found), told
    assert SECRET not in done.stdout + done.stderr
    said = next(one for one in told["systems"][0]["findings"] if one["check"] == "variables")
    assert "tiny_other is not set" in said["summary"]
    assert "set it" in said["summary"]
    assert cli.file.read_text() == "bad"


@pytest.fixture
def stand_in() -> Iterator[Stack]:
    with stack.running(Options(system="roost", scale=0.2, parts=frozenset({"database", "backups"}))) as made:
        yield made


@pytest.mark.slow
def test_a_stand_in_lacks_only_what_its_inventory_does(cli: Cli, stand_in: Stack) -> None:
    cli.env["REHEARSAL_STACK"] = str(stand_in.path)
    overlay = ROOT / "inventories" / "rehearsal" / "roost"
    whole = ("doctor", "roost", "--project", str(ROOT), "--inventory", str(overlay), "--json")
    done = cli(*whole)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["systems"][0]["findings"]
    good = {one["check"] for one in found if one["status"] == "ok"}
    assert {"host_clock", "host_programs", "host_python", "postgres_rights"} <= good, found
    # The stand-in's bucket holds damaged backups, too: the newest good one is judged by its end, and found.
    assert [one["status"] for one in found if one["check"] == "backup_newest"] in (["ok"], ["warn"]), found
    for secret in (stand_in.facts["postgres"]["password"], stand_in.facts["s3"]["secret_key"]):
        assert secret not in done.stdout + done.stderr
