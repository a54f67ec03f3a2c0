"""What a rehearsal is put together from, without any server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from runbook.catalog import find_system, system_names
from runbook.project import Project
from runbook.rehearsal import cases, digest, shapes, stack, store
from runbook.rehearsal.__main__ import main
from runbook.rehearsal.score import Score, Stage

ROOT = Path(__file__).resolve().parents[3]
PROJECT = Project(ROOT, "test")


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-11-21T03:14", "2026-11-20"),
        ("2026-11-21T03:15", "2026-11-21"),
        ("2026-11-21T00:00", "2026-11-20"),
    ],
)
def test_the_last_night_is_one_whose_backup_can_be_finished(now: str, night: str) -> None:
    found = store.last_night(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(f"{night}T03:00+00:00")


def test_a_key_says_when_it_was_made() -> None:
    moment = datetime(2026, 11, 20, 3, tzinfo=UTC)
    assert shapes.ROOST.key_of(moment) == "postgres/roost_prod-2026-11-20T03-00-00Z.sql.gz"


def test_differences_name_what_changed_and_skip_what_is_ignored() -> None:
    before = {"identity": {"oid": 1, "owner": "a"}, "rows": {"t": [1, "x"]}}
    after = {"identity": {"oid": 2, "owner": "a"}, "rows": {"u": [1, "x"]}}
    assert digest.differences(before, before) == []
    assert digest.differences(before, after, ignore=("identity.oid",)) == [
        "rows t: [1, 'x'] became missing",
        "rows u: missing became [1, 'x']",
    ]
    assert digest.differences(before, after, ignore=("identity", "rows")) == []


def test_a_score_ends_in_one_line() -> None:
    score = Score("id", "roost", "database-failure", "corrupt-tables", "namespace", passed=True)
    score.recovery_s, score.loss_window_s, score.loss_rows = 9.4, 13_200.0, 845
    assert score.line(Path("r")) == (
        "verified · 00:09 of 15:00 · data-loss window 3 h 40 min (845 rows) · report: r"
    )
    score.passed = False
    score.stages.append(Stage("undo", 1.0, problem="two\nlines"))
    assert score.line(Path("r")) == "FAILED · undo: two lines · report: r"


def test_an_unknown_fault_is_an_error_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stack.json"
    path.write_text('{"system": "roost"}')
    assert main(["fault", "gremlins", "--stack", str(path)]) == 1
    said = capsys.readouterr().err
    assert "there is no fault 'gremlins' of roost; there are: " in said
    assert ", corrupt-tables," in said


def test_a_stand_in_without_what_the_fault_is_about_is_an_error_that_says_which_one_to_bring_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stack.json"
    path.write_text('{"system": "cleaning", "parts": ["backups", "database"]}')
    assert main(["fault", "query-without-end", "--stack", str(path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "high-resource-usage is about deployments, services, which this stand-in of cleaning has not" in said
    )
    assert "up --system cleaning --parts high-resource-usage" in said


def test_a_stack_that_is_not_there_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stack.json"
    assert main(["fault", "gremlins", "--stack", str(path)]) == 1
    assert f"no stand-in is described by {path}" in capsys.readouterr().err


def test_every_runbook_has_a_case_and_every_case_a_runbook() -> None:
    for system in system_names(PROJECT):
        assert cases.names(system) == sorted(find_system(PROJECT, system).runbooks), system
    assert set(cases.systems()) == set(system_names(PROJECT))


@pytest.mark.parametrize(
    ("system", "runbook"), [(system, name) for system in cases.systems() for name in cases.names(system)]
)
def test_a_case_names_only_what_its_runbook_has(system: str, runbook: str) -> None:
    case = cases.find(system, runbook)
    playbook = ROOT / "playbooks" / f"{runbook.replace('-', '_')}.yml"
    header = yaml.safe_load(playbook.read_text())[0]["vars"]["runbook"]
    have = {mitigation["name"] for mitigation in header["mitigations"]}
    names = [symptom.name for symptom in case.symptoms]
    assert case.runbook == header["name"] == runbook
    assert case.default in names
    assert len(names) == len(set(names))
    assert {s.mitigation for s in case.symptoms} - {""} <= have
    assert case.parts <= set(stack.PARTS)
