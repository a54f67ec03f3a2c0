"""What later runs did with the changes of an earlier one, each of them read once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from runbook_engine import lineage, record, reduce, state, undo
from runbook_engine.errors import Refused

FIRST, RESUMED, OTHER, BACK = (f"20261121t0643{number:02}z-7f3a9c" for number in range(4))
STEP = {
    "id": "7@front", "name": "Send traffic", "action": "shift", "host": "front", "phase": "mitigate",
    "effect": "change", "status": "changed", "changed": True,
    "undo": [{"summary": "Send it back", "role": "barn", "entry_point": "back", "args": {}}],
}  # fmt: skip


class Runs:
    """A state folder with results in it, and how often each was read."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.read = folder, Counter[str]()
        load = state.load_result

        def counted(source: state.RunFolder) -> dict[str, Any] | None:
            self.read[source.run] += 1
            return load(source)

        monkeypatch.setattr(state, "load_result", counted)
        monkeypatch.setattr(record, "settled", load)

    def add(self, run: str, *steps: dict[str, Any], **more: Any) -> None:
        """Add the result of one run."""
        folder = self.folder / "runs" / run
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text("{}\n")
        given = {"run": run, "system": "barn", "mode": "apply", "ended": "finished", "steps": list(steps)}
        (folder / "result.json").write_text(json.dumps(reduce._blank() | given | more))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """One run that was stopped, one that resumed it, and one that has nothing to do with them."""
    made = Runs(tmp_path, monkeypatch)
    made.add(FIRST, STEP, {**STEP, "id": "8@back", "host": "back", "status": "started"})
    told = {"run": FIRST, "step": "8@back", "name": "Send traffic", "action": "shift", "host": "back"}
    gate = {"resume": {"again": [{**told, "nth": 1}]}}
    made.add(RESUMED, {**STEP, "id": "9@back", "host": "back"}, resumes=FIRST, gate=gate)
    made.add(OTHER, {**STEP, "status": "ok", "changed": False})
    return made


def test_what_came_later_is_read_once_for_an_undo(runs: Runs) -> None:
    planned = undo.plan_undo(runs.folder, RESUMED, "barn", ["front", "back"])
    assert [(item["run"], item["step"]) for item in planned.items] == [
        (RESUMED, "9@back"),
        (FIRST, "8@back"),
        (FIRST, "7@front"),
    ]
    assert runs.read == {RESUMED: 1, OTHER: 1}


def test_a_run_that_was_resumed_waits_for_the_one_that_did(runs: Runs) -> None:
    with pytest.raises(Refused, match=f"Run {RESUMED} resumed run {FIRST}"):
        undo.plan_undo(runs.folder, FIRST, "barn", ["front", "back"])
    assert runs.read == {RESUMED: 1, OTHER: 1}
    runs.add(BACK, mode="undo", undo=RESUMED, undone_elsewhere=["9@back", f"{FIRST}/8@back"])
    left = undo.plan_undo(runs.folder, FIRST, "barn", ["front", "back"])
    assert [(item["run"], item["step"]) for item in left.items] == [(FIRST, "7@front")]


def test_gone_and_made_anew_are_told_apart(runs: Runs) -> None:
    later = lineage.later(runs.folder, FIRST)
    assert (later.gone, later.anew) == (set(), {(FIRST, "8@back")})
    assert [result["run"] for result in later.related] == [RESUMED]
    assert later.after(RESUMED) == []
    runs.add(BACK, mode="undo", undo=RESUMED, undone_elsewhere=["9@back"])
    later = lineage.later(runs.folder, FIRST)
    assert later.settled == {(RESUMED, "9@back"), (FIRST, "8@back")}


def test_a_plan_to_go_on_makes_nothing_anew(runs: Runs) -> None:
    told = {
        "run": FIRST,
        "step": "7@front",
        "name": "Send traffic",
        "action": "shift",
        "host": "front",
        "nth": 1,
    }
    gate = {"resume": {"again": [told]}}
    runs.add(BACK, STEP, resumes=FIRST, gate=gate, mode="plan", check_mode=True)
    assert lineage.later(runs.folder, FIRST).anew == {(FIRST, "8@back")}


def test_the_newest_change_is_found_by_reading_each_run_once(runs: Runs) -> None:
    assert undo.newest_change(runs.folder) == state.run_folder(runs.folder, RESUMED)
    runs.read.clear()
    runs.add(BACK, mode="undo", undo=RESUMED, undone_elsewhere=["9@back", f"{FIRST}/8@back"])
    assert undo.newest_change(runs.folder) == state.run_folder(runs.folder, FIRST)
    assert runs.read == {BACK: 1, OTHER: 1, RESUMED: 1, FIRST: 1}
