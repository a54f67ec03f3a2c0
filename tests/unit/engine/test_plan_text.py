"""What the plan screen says: loss in time and rows, human units, nothing empty and no internals."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from runbook_engine import plan_text, render, units

RESULT: dict[str, Any] = {
    "run": "20261121t064300z-7f3a9c",
    "clocks": {"recovery_minutes": 15},
    "lock": None,
    "plan": {
        "mitigation": "restore",
        "title": "Restore the backup",
        "system": "roost",
        "targets": ["roost-prod"],
        "parameters": {},
        "undo": None,
        "undos": [],
        "undo_how": "the old database takes its name back",
        "data_loss": "everything written after the backup",
        "steps": {"read": 0, "change": 1, "irreversible": 0},
        "digest": "sha256:" + "0" * 64,
        "predicted": [
            {
                "step": "7@roost-prod",
                "name": "Restore",
                "diff": [{"before": "a\n", "after": "b\n"}],
                "prediction": {
                    "database": "roost_prod", "resumes": "", "removes": [], "estimated_size": 56841919,
                    "free": 80442761216, "duration_s": 185.0, "server_version": "18.6",
                },
                "data_loss": {
                    "backup_age_s": 18311,
                    "live": "answers",
                    "tables": [
                        {"table": "sessions", "rows_newer": 12000},
                        {"table": "tokens", "rows_newer": 0},
                        {"table": "subscribers", "rows_newer": None, "note": "counting took more than 2 s"},
                    ],
                },
            }
        ],
    },
}  # fmt: skip


def _rows(**plan: Any) -> dict[str, str]:
    result = copy.deepcopy(RESULT)
    result["plan"] |= plan
    joined: dict[str, str] = {}
    for label, text in plan_text.plan_rows(result):
        joined[label] = joined.get(label, "") + text + "\n"
    return joined


def test_the_loss_is_said_in_time_and_rows_with_what_could_not_be_counted_and_why() -> None:
    loss = _rows()["data loss"]
    for part in (
        "last 5 h 5 min",
        "sessions 12,000 rows",
        "no newer row: tokens",
        "not known: subscribers: counting took more than 2 s",
    ):
        assert part in loss


def test_a_live_database_that_does_not_answer_is_no_loss_of_nothing() -> None:
    predicted = copy.deepcopy(RESULT["plan"]["predicted"])
    predicted[0]["data_loss"] = {"backup_age_s": None, "tables": [], "live": "does not answer: refused"}
    loss = _rows(predicted=predicted)["data loss"]
    assert "when it was made is not known" in loss
    assert "the live database does not answer: refused" in loss


def test_without_a_measure_the_stated_loss_is_shown() -> None:
    assert _rows(predicted=[])["data loss"] == "everything written after the backup\n"


def test_time_and_space_are_told_against_what_there_is() -> None:
    rows = _rows()
    assert rows["takes"] == "about 3 min 5 s; the system is to be back within 15 min\n"
    assert rows["space"] == "needs about 54.2 MiB, 74.9 GiB are free\n"
    slow = copy.deepcopy(RESULT["plan"]["predicted"])
    slow[0]["prediction"]["duration_s"] = 1000
    assert "TOO LATE" in _rows(predicted=slow)["takes"]


def test_hosts_work_at_the_same_time_and_steps_one_after_the_other() -> None:
    one = RESULT["plan"]["predicted"][0]
    other = {**one, "step": "7@b", "prediction": {"duration_s": 60.0}}
    later = {**one, "step": "8@b", "name": "Switch", "prediction": {"duration_s": 15.0}}
    assert "about 3 min 20 s" in _rows(predicted=[one, other, later])["takes"]


def test_nothing_is_empty_and_no_internal_is_dumped() -> None:
    text = "\n".join(render.plan(RESULT, "ansible-playbook -i a p.yml -e mitigation=restore"))
    for internal in ("server_version", "resumes", "removes", "[]", "{", "None", "_size"):
        assert internal not in text
    assert all(line.strip() for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 84  # only the digest, which cannot be broken
    assert len([line for line in text.splitlines() if len(line) > 80]) == 1


@pytest.mark.parametrize(
    ("holder", "said"),
    [
        (None, "free"),
        ({"run": RESULT["run"]}, "held by this run"),
        (
            {"run": "x", "operator": "bob", "controller": "c", "since": "08:00", "until": "08:01"},
            "HELD on db",
        ),
    ],
)
def test_the_holder_of_the_lock_is_named(holder: Any, said: str) -> None:
    line = plan_text.lock_line({**RESULT, "lock": {"host": "db", "holder": holder}})
    assert line.startswith(said)
    assert ("bob" in line) == bool(holder and "operator" in holder)


def test_a_run_that_did_not_look_says_nothing_of_the_lock() -> None:
    assert plan_text.lock_line(RESULT) == ""
    assert "lock" not in _rows()


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), (0.44, "0.4 s"), (59.6, "1 min"), (75, "1 min 15 s"), (3600, "1 h"), (180000, "2 d 2 h")],
)
def test_durations(value: float | None, said: str) -> None:
    assert units.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**60, "1024.0 PiB")]
)
def test_sizes(value: int, said: str) -> None:
    assert units.size(value) == said


def test_a_command_is_broken_where_the_shell_allows_it() -> None:
    long = "ansible-playbook" + " -i inventories/rehearsal/roost" * 3 + " playbooks/x.yml -e confirm=roost"
    lines = render.plan(RESULT, long)
    start = next(n for n, line in enumerate(lines) if line.startswith("to apply"))
    typed = "".join(line[13:].removesuffix("\\") for line in lines[start:])
    assert typed.split() == long.split()
    assert all(line.endswith("\\") for line in lines[start:-1])


def test_ok_findings_take_one_line_unless_all_is_asked_for() -> None:
    found = [{"check": "load", "host": "a", "status": "ok", "summary": "word " * 60}]
    assert len(render.findings(found)) == 1
    assert len(render.findings(found, whole=True)) > 1
    bad = [{**found[0], "status": "fail"}]
    assert len(render.findings(bad)) > 1
