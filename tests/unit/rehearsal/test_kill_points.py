"""Where a run is killed, what counts as repeated, and when its lock is free."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from runbook_engine.state import RunFolder

from runbook.rehearsal import kills
from runbook.rehearsal.score import Kill


def _step(name: str, status: str = "changed", step: str = "1@h", **more: Any) -> dict[str, Any]:
    return {
        "id": step, "name": name, "host": "h", "action": "a", "phase": "mitigate", "effect": "change",
        "status": status, "duration_s": 3.0, **more,
    }  # fmt: skip


def test_a_run_is_killed_before_the_first_and_in_and_after_each_step_that_changed_something() -> None:
    steps = [_step("One"), _step("Same", "ok"), _step("Look", effect="read"), _step("Two")]
    found = [(point.identity[0], point.when, point.delay_s) for point in kills.points({"steps": steps})]
    assert found == [
        ("One", "before", 0.0),
        ("One", "middle", 1.5),
        ("One", "after", 0.0),
        ("Two", "middle", 1.5),
        ("Two", "after", 0.0),
    ]
    in_turn = [(point.identity[0], point.when) for point in kills.turns({"steps": steps})]
    assert in_turn == [("One", "middle"), ("Two", "middle"), ("Two", "after")]
    in_steps = [(point.identity[0], point.when) for point in kills.turns({"steps": steps}, behind=False)]
    assert in_steps == in_turn[:2]


def _run(run: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"run": run, "steps": list(steps), **more}


def test_what_was_recorded_or_found_out_as_done_must_not_be_done_again() -> None:
    killed = _run("a", _step("One"), _step("Two", "started", "2@h"), _step("Three", "started", "3@h"))
    told = [{"run": "a", "step": "2@h", "state": "done"}, {"run": "a", "step": "3@h", "state": "not_done"}]
    whole, none = kills.Family(), kills.Family()
    assert whole.repeated(killed) == none.repeated(killed) == []
    again = _run("b", _step("One"), _step("Two"), _step("Three"), reconciled=told)
    assert whole.repeated(again) == ["One (h)", "Two (h)"]
    assert none.repeated(_run("b", _step("One", "skipped"), _step("Two", "skipped"), _step("Three"))) == []


def test_a_run_that_resumes_a_resumed_one_must_not_do_what_any_of_them_did() -> None:
    family = kills.Family()
    family.repeated(_run("a", _step("One", "started")))
    assert family.repeated(_run("b", _step("One"), _step("Two", "started", "2@h"))) == []
    told = [{"run": "b", "step": "2@h", "state": "done"}]
    third = _run("c", _step("One"), _step("Two", "skipped", "2@h"), _step("Three", "changed", "3@h"))
    assert family.repeated(third | {"reconciled": told}) == ["One (h)"]
    assert family.repeated(_run("d", _step("Two"), _step("Three", "skipped"))) == ["Two (h)"]


@pytest.mark.parametrize(
    ("when", "lines", "there"),
    [
        ("before", 0, False),
        ("before", 1, True),
        ("middle", 1, True),
        ("after", 1, False),
        ("after", 2, True),
    ],
)
def test_the_record_says_where_a_run_is(tmp_path: Path, when: str, lines: int, there: bool) -> None:
    folder = RunFolder("20261121t064300z-7f3a9c", tmp_path)
    about = {"step": 4, "host": "h", "name": "One", "action": "a", "phase": "mitigate", "effect": "change"}
    events = [
        {"type": "step.started", "data": about},
        {"type": "step.finished", "data": {"step": 4, "host": "h", "status": "changed"}},
    ]
    whole = "".join(json.dumps(event) + "\n" for event in events[:lines])
    # What is written at this moment is not whole yet.
    folder.events.write_text(whole + '{"type": "step.fin')
    assert kills.Watch(folder.events, kills.Point(("One", "a", "h", 1), when)).there() is there
    assert not kills.Watch(folder.events, kills.Point(("One", "a", "h", 2), when)).there()


def test_a_record_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    about = {"step": 4, "host": "h", "name": "One", "action": "a", "phase": "mitigate", "effect": "change"}
    begun = json.dumps({"type": "step.started", "data": about}) + "\n"
    ended = json.dumps({"type": "step.finished", "data": {"step": 4, "host": "h"}}) + "\n"
    watch = kills.Watch(path, kills.Point(("One", "a", "h", 1), "after"))
    assert not watch.there()
    for text, there in ((begun, False), (begun + ended[:9], False), (begun + ended, True)):
        path.write_text(text)
        assert watch.there() is there


@pytest.mark.parametrize(
    ("lease", "held"),
    [
        ({"ended": None, "left": 10}, True),
        ({"ended": None, "left": -1}, False),
        ({"ended": {"how": "released"}, "left": 10}, False),
        (None, False),
    ],
)
def test_a_lock_is_held_while_its_lease_lasts(
    tmp_path: Path, lease: dict[str, Any] | None, held: bool
) -> None:
    class Made:
        folder = tmp_path

    (tmp_path / "lock").mkdir()
    if lease:
        expires = time.clock_gettime(time.CLOCK_BOOTTIME) + lease["left"]
        kept = {"ended": lease["ended"], "expires": expires}
        (tmp_path / "lock" / "roost.lease").write_text(json.dumps(kept))
    assert kills.lock_held(Made()) is held  # type: ignore[arg-type]


def test_a_kill_is_good_only_when_nothing_is_left_held_or_repeated() -> None:
    good = Kill("One", "middle", lock_free=True, resumed="verified")
    assert good.good
    for bad in (
        {"lock_free": False},
        {"left": ["process 7"]},
        {"repeated": ["One (h)"]},
        {"problem": "it was faster"},
    ):
        assert not Kill(**{**vars(good), **bad}).good
