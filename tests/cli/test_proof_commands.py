"""What the rehearsals prove, and `--override` where they do not, from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_under_test import ROOT, Cli
from runbook_engine import proof_store
from runbook_engine.ids import new_run_id
from runbook_engine.project_files import Project

from runbook import report_write

PLAN = ("run", "tiny", "file-failure", "--mitigation", "rewrite")
APPLY = (*PLAN, "--apply", "--confirm", "tiny")


@pytest.fixture
def strict(cli: Cli) -> Cli:
    """A system whose inventory wants its runbooks proved."""
    declared = cli.project / "inventories" / "tiny" / "group_vars" / "all" / "system.yml"
    text = declared.read_text()
    declared.write_text(text.replace("  contacts:", "  proof: {required: true}\n  contacts:"))
    return cli


LOADED = ("playbooks/file_failure.yml", "inventories/tiny/", "inventories/tiny/hosts.yml")


def rehearsed(cli: Cli, fault: str = "bad-word", **changed: Any) -> dict[str, Any]:
    """Put a rehearsal of the tiny runbook into the state folder, as it is now, and return it."""
    files = Project(cli.project)
    found = {
        "rehearsal": new_run_id(),
        "system": "tiny",
        "runbook": "file-failure",
        "fault": fault,
        "faults": ["bad-word", "no-file"],
        "kind": "symptom",
        "mitigation": "rewrite",
        "passed": True,
        "undone": True,
        "predicted_matches": {"compared": 1, "matched": 1, "mismatches": []},
        "kills": [{"step": "Write the word"}],
        "nothing_left": True,
        "resumed_repeats_nothing": True,
        "recovery_s": 14.0,
        "target_s": 300.0,
        "commit": "a1b2c3d4e5f6",
        "content": {name: files.hash(name) for name in LOADED},
    } | changed
    folder = cli.state / proof_store.FOLDER / found["rehearsal"]
    folder.mkdir(parents=True)
    (folder / proof_store.FILE).write_text(json.dumps(found))
    return found


def _edit(cli: Cli) -> None:
    playbook = cli.project / "playbooks" / "file_failure.yml"
    playbook.write_text(playbook.read_text() + "# edited\n")


def test_proof_list_and_show_say_the_same_line(cli: Cli) -> None:
    assert cli("proof").returncode == 1
    rehearsed(cli)
    some = cli("proof")
    assert some.returncode == 1
    assert "incomplete" in some.stdout
    assert "runbook rehearse tiny file-failure --all" in some.stdout
    rehearsed(cli, "no-file", recovery_s=20.0)
    done = cli("proof")
    assert done.returncode == 0, done.stdout + done.stderr
    line = cli.json("proof")["runbooks"][0]["line"]
    assert line.startswith("proved 20")
    assert line.endswith("at a1b2c3d · 2/2 faults · p95 0:20 of 5:00")
    for command in (["proof"], ["list"], ["show", "tiny", "file-failure"]):
        assert line in " ".join(cli(*command).stdout.split()), command
    assert max(map(len, cli("list").stdout.splitlines())) <= 80
    _edit(cli)
    stale = cli("proof")
    assert stale.returncode == 1
    assert "changed since it was rehearsed: playbooks/file_failure.yml" in stale.stdout
    for command in (["list"], ["show", "tiny", "file-failure"]):
        assert "stale" in cli(*command).stdout, command
    assert cli.json("list")["runbooks"][0]["proof"]["differs"] == ["playbooks/file_failure.yml"]


def test_a_fresh_clone_has_the_proof_that_was_saved(cli: Cli) -> None:
    nothing = cli("proof", "--save")
    assert (nothing.returncode, "Nothing is proved for tiny" in nothing.stderr) == (2, True)
    rehearsed(cli)
    rehearsed(cli, "no-file")
    assert cli("proof", "--save").returncode == 0
    (cli.state).rename(cli.root / "gone")
    fresh = cli("proof", "tiny", "--json")
    assert fresh.returncode == 0, fresh.stderr
    assert [found["fault"] for found in json.loads(fresh.stdout)["runbooks"][0]["rehearsals"]] == [
        "bad-word",
        "no-file",
    ]
    proof_store.file_of(cli.project, "tiny").write_text("{")
    damaged = cli("proof")
    assert damaged.returncode not in (0, 1)
    assert "runbook proof --save" in damaged.stderr
    listed = cli("list")
    assert (listed.returncode, "never rehearsed" in listed.stdout) == (0, True)


def test_only_what_holds_is_saved(cli: Cli) -> None:
    rehearsed(cli)
    rehearsed(cli, "no-file", passed=False)
    assert cli("proof", "--save").returncode == 1
    assert [found["fault"] for found in proof_store.shipped(cli.project, "tiny")] == ["bad-word"]


def test_history_says_how_each_fault_went(cli: Cli) -> None:
    assert "Nothing was rehearsed yet" in cli("history").stdout
    rehearsed(cli)
    rehearsed(cli, "no-file", passed=False)
    told = " ".join(cli("history", "tiny", "file-failure").stdout.split())
    assert "tiny · file-failure target 5 min" in told
    assert "bad-word 1/1 14 s █" in told
    assert "no-file 0/1 - ✗" in told
    assert [one["passed"] for one in cli.json("history")] == [1, 0]
    assert cli("history", "tiny", "no-such").returncode == 2


def test_every_runbook_of_the_project_has_a_line(cli: Cli) -> None:
    told = cli.json("proof", "roost", "--project", str(ROOT))
    assert {one["runbook"] for one in told["runbooks"]} >= {"database-failure", "stream-outage"}
    assert all(one["faults"]["all"] >= 3 for one in told["runbooks"])


def test_what_only_measures_needs_no_proof(cli: Cli) -> None:
    shown = cli("show", "roost", "triage", "--project", str(ROOT))
    assert shown.returncode == 0, shown.stderr
    assert "Proof: none needed" in shown.stdout


@pytest.mark.slow
def test_an_override_is_asked_for_before_the_name_and_stays_in_record_and_report(strict: Cli) -> None:
    refused = strict(*APPLY)
    assert refused.returncode == 4, refused.stderr
    assert "file-failure is not proved for tiny: it was never rehearsed" in refused.stderr
    assert "runbook rehearse tiny file-failure --all" in refused.stderr
    assert "--override 'WHY'" in refused.stderr
    assert [json.loads((run / "result.json").read_text())["mode"] for run in strict.runs] == ["plan"]
    assert strict.file.read_text() == "bad"
    assert strict(*APPLY, "--override").returncode == 2
    done = strict(*APPLY, "--override", "it burns")
    assert done.returncode == 0, done.stderr
    assert "OVERRIDDEN, because: it burns" in " ".join(done.stdout.split())
    result = json.loads((strict.runs[-1] / "result.json").read_text())
    assert result["gate"]["override"] == "it burns"
    page, text = (report_write.render(kind, result, strict.state) for kind in (".html", ".md"))
    assert "<b>override</b>" in page
    assert "> **OVERRIDE**" in text
