"""Many rehearsals at once, and what is written about them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from runbook import report_rehearsals
from runbook.rehearsal import cases, many
from runbook.rehearsal.choice import Order
from runbook.rehearsal.score import KINDS, Kill, Match, Score, Stage


@pytest.mark.parametrize("runbook", cases.names("roost"))
def test_a_runbook_has_every_kind_of_fault(runbook: str) -> None:
    assert {symptom.kind for symptom in cases.find("roost", runbook).symptoms} == set(KINDS)


@pytest.mark.parametrize("system", cases.systems())
def test_every_fault_can_be_rehearsed(system: str) -> None:
    for runbook, fault in cases.faults(system):
        assert fault.mitigation or fault.finds or fault.unsure, (runbook, fault.name)


def _scores() -> list[dict[str, Any]]:
    good = Score("i", "roost", "stream-outage", "relay-killed", "namespace", passed=True, recovery_s=9.0)
    good.predicted_matches, good.undone = Match(2, 2), "nothing to take back"
    good.kills = [
        Kill("One", "middle", lock_free=True, resumed="verified"),
        Kill("One", "after", left=["process 7"]),
    ]
    good.stages = [Stage("fault: x", 1.0)]
    bad = Score("j", "roost", "auth-outage", "auth-killed", "namespace")
    bad.stages = [Stage("fault: y", 1.0), Stage("plan: a|b <x>", 2.0, problem="it is\nred \x1b")]
    return [asdict(good), asdict(bad)]


def test_a_score_is_one_row() -> None:
    good, bad = map(report_rehearsals.row, _scores())
    assert len(good) == len(report_rehearsals.HEAD)
    assert good[4:7] == ("2 of 2", "nothing to take back", "1 of 2")
    assert (good[-1], bad[-1]) == ("yes", "NO")


def test_all_scores_together_are_four_sentences() -> None:
    assert report_rehearsals.summary(_scores()) == [
        "1 of 2 rehearsals proved",
        "2 of 2 changing steps did what the plan had said",
        "0 of 0 undos gave back the state from before",
        "1 of 2 killed runs left nothing and were resumed without repeating anything",
    ]


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_a_report_holds_every_rehearsal_and_what_failed(tmp_path: Path, suffix: str) -> None:
    report_rehearsals.write(tmp_path / f"r{suffix}", _scores())
    text = (tmp_path / f"r{suffix}").read_text()
    assert "roost stream-outage relay-killed" in text
    assert "it is red" in text
    assert suffix == ".md" or "<x>" not in text


def test_junit_has_a_suite_a_rehearsal_and_a_case_a_stage(tmp_path: Path) -> None:
    report_rehearsals.write_junit(tmp_path / "r.xml", _scores())
    suites = ET.parse(tmp_path / "r.xml").getroot().findall("testsuite")
    assert [(s.get("tests"), s.get("failures")) for s in suites] == [("1", "0"), ("2", "1")]


def test_a_rehearsal_without_a_score_has_failed_with_what_it_said(tmp_path: Path) -> None:
    order = Order("roost", "no-such-runbook", "x")
    (score,) = many.rehearse_all([order], ["--state", str(tmp_path)], 1, lambda _score: None)
    assert not score["passed"]
    assert "no-such-runbook" in report_rehearsals.problem(score)
