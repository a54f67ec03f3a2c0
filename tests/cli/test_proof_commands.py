"""`--override` and the proof, from the command line."""

from __future__ import annotations

import json

import pytest
from cli_under_test import Cli

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
