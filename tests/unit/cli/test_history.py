"""The trend of rehearsals: what counts as a time, when something got slower, and how it is drawn."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runbook_engine import proof_store
from runbook_engine.ids import new_run_id

from runbook import history
from runbook.history import Trend

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def _store(state: Path, day: int, recovery: float, **changed: Any) -> dict[str, Any]:
    found = {
        "rehearsal": new_run_id(NOW - timedelta(days=day)),
        "system": "barn",
        "runbook": "door-stuck",
        "fault": "jam",
        "mitigation": "oil",
        "passed": True,
        "recovery_s": recovery,
        "target_s": 900.0,
        "commit": "a1b2c3d4",
        "machine": "2 CPUs",
    } | changed
    folder = state / proof_store.FOLDER / found["rehearsal"]
    folder.mkdir(parents=True)
    (folder / proof_store.FILE).write_text(json.dumps(found))
    return found


def _trend(state: Path) -> Trend:
    (found,) = history.trends(None, state, ["barn"])
    return found


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ([10, 10, 10, 20, 20, 20], "slower by 100%"),
        ([20, 20, 20, 10, 10, 10], "faster by 50%"),
        ([10, 10, 10, 10.4, 10, 10.2], "steady"),
        ([10, 10, 20, 20, 20], ""),
    ],
)
def test_the_last_three_are_held_against_those_before(tmp_path: Path, times: list[float], word: str) -> None:
    for day, took in enumerate(reversed(times)):
        _store(tmp_path, day, took)
    assert _trend(tmp_path).word == word
    assert _trend(tmp_path).times == times


def test_times_of_another_machine_are_not_compared(tmp_path: Path) -> None:
    for day in range(6, 9):
        _store(tmp_path, day, 10.0, machine="64 CPUs")
    for day in range(3):
        _store(tmp_path, day, 40.0)
    assert _trend(tmp_path).word == ""
    assert _trend(tmp_path).times == [40.0] * 3
    assert len(_trend(tmp_path).points) == 6


def test_what_failed_or_rightly_ended_otherwise_has_no_time_and_is_seen(tmp_path: Path) -> None:
    _store(tmp_path, 4, 10.0)
    _store(tmp_path, 3, 12.0, passed=False)
    _store(tmp_path, 2, 13.0, ends="refused")
    _store(tmp_path, 1, 20.0)
    trend = _trend(tmp_path)
    assert (trend.passed, trend.times) == (3, [10.0, 20.0])
    assert re.fullmatch("[▁-█]✗·█", trend.spark)


def test_a_plot_shows_every_rehearsal_and_the_target_only_where_it_is_near(tmp_path: Path) -> None:
    _store(tmp_path, 2, 10.0)
    _store(tmp_path, 1, 20.0)
    _store(tmp_path, 0, 0.0, passed=False)
    far = history.plot(_trend(tmp_path))
    assert [dot.passed for dot in far.dots] == [True, True, False]
    assert far.dots[0].y > far.dots[1].y
    assert [dot.x for dot in far.dots] == sorted({dot.x for dot in far.dots})
    assert far.target_y is None
    assert far.line.count(",") == 2
    assert "2 of 3 rehearsals of jam passed; the target is 15 min" in far.caption
    assert "FAILED" in far.dots[2].label
    for found in proof_store.rehearsals(tmp_path):
        path = tmp_path / proof_store.FOLDER / found["rehearsal"] / proof_store.FILE
        path.write_text(json.dumps(found | {"target_s": 30.0}))
    near = history.plot(_trend(tmp_path))
    assert near.target_y is not None
    assert near.target_y < min(dot.y for dot in near.dots)


def test_one_rehearsal_alone_is_a_point_without_a_line(tmp_path: Path) -> None:
    _store(tmp_path, 0, 10.0)
    drawn = history.plot(_trend(tmp_path))
    assert (len(drawn.dots), drawn.line) == (1, "")


def test_only_what_was_asked_for_is_told(tmp_path: Path) -> None:
    _store(tmp_path, 0, 10.0)
    _store(tmp_path, 1, 10.0, fault="flood")
    _store(tmp_path, 2, 10.0, system="shed")
    assert [t.fault for t in history.trends(None, tmp_path, ["barn"])] == ["flood", "jam"]
    assert [t.fault for t in history.trends(None, tmp_path, ["barn"], "door-stuck", "jam")] == ["jam"]
    assert history.trends(None, tmp_path, ["barn"], "window-broken") == []


def test_what_the_project_brings_counts_once(tmp_path: Path) -> None:
    found = _store(tmp_path / "state", 0, 10.0)
    same, other = found | {"content": {}}, new_run_id(NOW - timedelta(days=1))
    proof_store.save(tmp_path, "barn", [same, same | {"rehearsal": other}])
    (trend,) = history.trends(tmp_path, tmp_path / "state", ["barn"])
    assert len(trend.points) == 2
    proof_store.file_of(tmp_path, "barn").write_text("{")
    (trend,) = history.trends(tmp_path, tmp_path / "state", ["barn"])
    assert len(trend.points) == 1
