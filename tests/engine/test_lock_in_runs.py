"""Every changing run holds the system's lock, whatever the runbook; nothing else takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Engine

APPLY = ("-e", "mitigation=oil", "-e", "confirm=barn")


def _kinds(events: list[dict[str, Any]]) -> list[str]:
    return [e["type"] for e in events if e["type"].startswith(("lock.", "gate"))]


def test_a_changing_run_takes_the_lock_before_its_first_change_and_gives_it_back(engine: Engine) -> None:
    run = engine.run(*APPLY)
    assert run.exit == (0, "verified"), run.output
    events = run.events()
    assert _kinds(events) == ["gate", "lock.taken", "lock.released"]
    taken = next(n for n, e in enumerate(events) if e["type"] == "lock.taken")
    changing = [n for n, e in enumerate(events) if e["data"].get("effect") == "change"]
    assert taken < min(changing)
    assert run.result["lock"]["state"] == "released"
    assert run.result["lock"]["holder"]["run"] == run.result["run"]
    assert not engine.lock.info()["lock"]["held"]


@pytest.mark.parametrize("arguments", [(), ("-e", "mitigation=oil", "--check"), ("-e", "mitigation=oil")])
def test_what_changes_nothing_takes_nothing(engine: Engine, arguments: tuple[str, ...]) -> None:
    run = engine.run(*arguments)
    assert "lock.taken" not in _kinds(run.events())
    assert not list(Path(engine.folder / "locks").glob("*.lease"))


def test_a_lock_that_is_held_refuses_with_its_own_code_and_names_the_holder(engine: Engine) -> None:
    engine.somebody_locks()
    run = engine.run(*APPLY)
    assert run.exit == (7, "lock_held"), run.output
    assert run.code == 2
    assert "20260101t000000z-abcdef of bob on elsewhere" in run.result["exit"]["reason"]
    assert [s for s in run.result["steps"] if s["phase"] == "mitigate" and s["status"] != "skipped"] == []
    assert engine.lock.info()["lock"]["holder"]["operator"] == "bob"


def test_diagnosis_and_plan_go_on_and_name_the_holder(engine: Engine) -> None:
    engine.somebody_locks()
    engine.stdout_callback = "console"
    assert engine.run().result["lock"]["holder"]["operator"] == "bob"
    plan = engine.run("-e", "mitigation=oil", "--check", "--diff")
    assert plan.exit == (3, "planned"), plan.output
    assert "HELD on front by run 20260101t000000z-abcdef of bob" in " ".join(plan.output.split())


@pytest.mark.parametrize("case", ["rescued", "verify_fails", "mitigation_skipped", "interrupted_change"])
def test_the_lock_is_free_after_every_exit(engine: Engine, case: str) -> None:
    run = engine.run(*APPLY, case=case)
    assert run.result["exit"]["code"] not in (0, 7), run.output
    engine.until_free()


def test_a_run_that_loses_its_lock_stops_before_its_next_change(engine: Engine) -> None:
    run = engine.run(*APPLY, case="lock_lost")
    assert run.exit == (21, "failed"), run.output
    assert "lock was lost (broken by bob)" in run.result["exit"]["reason"]
    assert "lock.lost" in _kinds(run.events())
    assert "Put oil on the handle" not in [s["name"] for s in run.result["steps"]]
    assert f"undo={run.result['run']}" in run.result["exit"]["next_step"]
