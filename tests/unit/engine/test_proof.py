"""How a runbook stands follows from the newest rehearsal of each fault, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from runbook_engine import proof, proof_store
from runbook_engine.ids import new_run_id
from runbook_engine.project_files import Project
from runbook_engine.proof import Standing

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FAULTS = ["flood", "jam"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of two files."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a.yml").write_text("a\n")
    (folder / "b.yml").write_text("b\n")
    return folder


def _found(root: Path, fault: str = "jam", hours: float = 1.0, **changed: Any) -> dict[str, Any]:
    project = Project(root)
    return {
        "rehearsal": new_run_id(NOW - timedelta(hours=hours)),
        "system": "barn",
        "runbook": "door-stuck",
        "fault": fault,
        "faults": FAULTS,
        "mitigation": "oil",
        "passed": True,
        "recovery_s": 14.2,
        "target_s": 900.0,
        "commit": "a1b2c3d4e5",
        "content": {name: project.hash(name) for name in ("a.yml", "b.yml")},
    } | changed


def _standing(root: Path, *found: dict[str, Any], **more: Any) -> Standing:
    newest = {one["fault"]: one for one in found}
    return proof.standing(Project(root), "barn", "door-stuck", newest, now=NOW, **more)


def test_every_fault_proved_for_the_files_that_are_here_is_proved(root: Path) -> None:
    stands = _standing(root, _found(root, "jam"), _found(root, "flood", recovery_s=20.0))
    assert stands.state == proof.PROVED
    assert stands.line == "proved 2026-11-21 at a1b2c3d · 2/2 faults · p95 0:20 of 15:00"
    assert (stands.why, stands.files) == ("", [])


def test_one_edited_file_makes_it_stale_and_is_named(root: Path) -> None:
    found = [_found(root, "jam"), _found(root, "flood", content={"a.yml": Project(root).hash("a.yml")})]
    (root / "b.yml").write_text("c\n")
    stands = _standing(root, *found)
    assert stands.state == proof.STALE
    assert stands.files == ["b.yml"]
    assert stands.why == "changed since it was rehearsed: b.yml"
    assert stands.line.startswith("stale 2026-11-21 at a1b2c3d · 1/2 faults")


@pytest.mark.parametrize(
    ("changed", "state", "why"),
    [
        ({"passed": False}, proof.FAILED, "its rehearsal failed: jam"),
        ({"content": {}}, proof.STALE, "changed since it was rehearsed: what it loaded is not known"),
        ({"fault": "flood"}, proof.INCOMPLETE, "never rehearsed: jam"),
    ],
)
def test_what_is_not_proved_says_why(root: Path, changed: dict[str, Any], state: str, why: str) -> None:
    stands = _standing(root, _found(root, "flood"), _found(root, **changed))
    assert (stands.state, stands.why) == (state, why)
    assert stands.as_dict()["why"] == why


def test_what_was_never_rehearsed_is_said_so(root: Path) -> None:
    stands = _standing(root, faults=FAULTS)
    assert (stands.state, stands.line) == (proof.NEVER, "never rehearsed")
    assert stands.missing == ("flood", "jam")


def test_a_proof_grows_old_only_where_the_system_says_so(root: Path) -> None:
    found = [_found(root, "jam", hours=31 * 24.0), _found(root, "flood")]
    assert _standing(root, *found).state == proof.PROVED
    stands = _standing(root, *found, max_age_days=30)
    assert stands.state == proof.STALE
    assert stands.why == "rehearsed 31 days ago, and the system allows 30"


def test_a_fault_that_exists_no_more_does_not_count(root: Path) -> None:
    found = [_found(root, "jam"), _found(root, "flood"), _found(root, "thaw", passed=False)]
    stands = _standing(root, *found)
    assert (stands.state, stands.total) == (proof.PROVED, 2)


def test_a_fault_that_ends_without_recovery_has_no_time_of_recovery(root: Path) -> None:
    refused = _found(root, "flood", ends="refused", recovery_s=900.0)
    assert _standing(root, _found(root, "jam"), refused).p95_s == 14.2


def _store(state: Path, found: dict[str, Any]) -> None:
    folder = state / "rehearsals" / found["rehearsal"]
    folder.mkdir(parents=True)
    (folder / "rehearsal.json").write_text(json.dumps(found))


DECLARED = {"barn": ["door-stuck"]}
PAIR = ("barn", "door-stuck")


def test_the_newest_of_a_fault_counts_wherever_it_is_kept(root: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    old, new = _found(root, hours=5, commit="old"), _found(root, hours=1, commit="new")
    proof_store.save(root, "barn", [old, _found(root, "flood", hours=5)])
    _store(state, _found(root, hours=9, commit="older"))
    assert proof_store.newest(root, state, DECLARED)[PAIR]["jam"]["commit"] == "old"
    _store(state, new)
    kept = proof_store.newest(root, state, DECLARED)[PAIR]
    assert kept["jam"]["commit"] == "new"
    assert kept["flood"]["content"] == new["content"]


def test_what_a_project_brings_is_what_was_saved(root: Path) -> None:
    found = [_found(root, "flood"), _found(root, "jam")]
    path = proof_store.save(root, "barn", found)
    brought = proof_store.shipped(root, "barn")
    assert [one["content"] for one in brought] == [one["content"] for one in found]
    assert path.read_text().count(Project(root).hash("a.yml")) == 1
    assert proof_store.save(root, "barn", brought).read_bytes() == path.read_bytes()


def test_proofs_of_two_contents_are_not_saved_together(root: Path) -> None:
    one = _found(root, "jam")
    (root / "b.yml").write_text("c\n")
    with pytest.raises(proof_store.ProofError, match=r"b\.yml was another file"):
        proof_store.save(root, "barn", [one, _found(root, "flood")])
    assert not proof_store.file_of(root, "barn").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"files": {}, "rehearsals": [{"content": [3]}]}'])
def test_a_damaged_file_of_proofs_is_said_not_passed_over(root: Path, text: str) -> None:
    path = proof_store.file_of(root, "barn")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(proof_store.ProofError, match="cannot be read") as caught:
        proof_store.shipped(root, "barn")
    assert "runbook proof --save" in caught.value.next_step


def test_a_damaged_rehearsal_proves_nothing(root: Path, tmp_path: Path) -> None:
    found = _found(root)
    _store(tmp_path, found)
    assert len(list(proof_store.rehearsals(tmp_path))) == 1
    path = tmp_path / "rehearsals" / found["rehearsal"] / "rehearsal.json"
    for text in (
        "",
        "[]",
        json.dumps(found | {"rehearsal": new_run_id()}),
        json.dumps(found | {"fault": ""}),
    ):
        path.write_text(text)
        assert list(proof_store.rehearsals(tmp_path)) == []
    assert list(proof_store.rehearsals(tmp_path / "nowhere")) == []


def test_reading_stops_when_all_is_known(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hours in range(1, 6):
        for fault in FAULTS:
            _store(tmp_path, _found(root, fault, hours))
    read: list[Path] = []
    genuine = proof_store._read
    monkeypatch.setattr(proof_store, "_read", lambda path: read.append(path) or genuine(path))
    assert set(proof_store.newest(root, tmp_path, DECLARED)[PAIR]) == set(FAULTS)
    assert len(read) <= len(FAULTS) + 1
