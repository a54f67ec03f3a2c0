"""What the controller lacks, and what a system declares that is missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from runbook_engine.proof import Standing

from runbook import doctor
from runbook.catalog_systems import Declaration, System
from runbook.project import Project

ROOT = Path(__file__).resolve().parents[3]
PROJECT = Project(ROOT, "test")


def _bad(found: Any) -> list[tuple[str, str]]:
    return [(one["check"], one["summary"]) for one in found if one["status"] != "ok"]


def test_a_whole_controller_lacks_nothing(tmp_path: Path) -> None:
    found = list(doctor.controller(tmp_path / "state"))
    assert _bad(found) == []
    assert {one["check"] for one in found} == {"controller_tools", "controller_packages", "state_folder"}
    packages = next(one for one in found if one["check"] == "controller_packages")
    assert {"ansible-core", "ansible-runner", "rich"} <= set(packages["observed"])
    assert "flask" not in packages["observed"]


def test_a_missing_tool_is_named_with_what_it_is_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    genuine = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "ssh" else genuine(name))
    ((check, said),) = _bad(doctor.controller(tmp_path))
    assert (check, "ssh (hosts are reached with it)" in said) == ("controller_tools", True)


@pytest.mark.parametrize(
    ("version", "said"), [("2.14.1", "ansible-core 2.14.1 (wanted: "), (None, "ansible-core is missing")]
)
def test_a_package_of_a_wrong_version_is_named_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch, version: str | None, said: str
) -> None:
    genuine = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: version if name == "ansible-core" else genuine(name))
    ((check, told),) = _bad(doctor._packages())
    assert (check, said in told) == ("controller_packages", True)


def test_a_state_folder_that_is_no_folder_or_open_to_others_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ((check, said),) = _bad(doctor._state(tmp_path / "file"))
    assert (check, "none could change anything" in said) == ("state_folder", True)
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    ((_check, said),) = _bad(doctor._state(tmp_path / "open"))
    assert f"chmod 700 {tmp_path / 'open'}" in said
    (tmp_path / "open").chmod(0o700)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(9, 8, 2**20))  # type: ignore[attr-defined]
    ((_check, said),) = _bad(doctor._state(tmp_path / "open"))
    assert "1 MiB left" in said


def _system(contacts: dict[str, str]) -> System:
    declared = {"database-failure": Declaration("SEV-1", 15.0, 24.0)}
    return System("barn", "Barn", ROOT / "inventories" / "barn", declared, contacts, True)


def _standing(**rehearsals: Any) -> dict[tuple[str, str], Standing]:
    return {("barn", "database-failure"): Standing("barn", "database-failure", rehearsals)}


def test_whoever_has_to_be_called_must_be_somebody() -> None:
    found = list(doctor.declared(PROJECT, _system({"on_call": ""}), {}, needs_proof=True))
    assert found
    assert all(one["status"] == "fail" and "database-failure" in one["summary"] for one in found), found
    roles = {one["observed"]["role"]: "someone@barn.example" for one in found}
    assert "on_call" in roles
    assert _bad(doctor.declared(PROJECT, _system(roles), {}, needs_proof=True)) == []


@pytest.mark.parametrize(("needs", "status"), [(True, "fail"), (False, "warn")])
def test_what_is_not_proved_weighs_what_the_system_says(needs: bool, status: str) -> None:
    found = doctor.declared(PROJECT, _system({}), _standing(), needs_proof=needs)
    (told,) = [one for one in found if one["check"] == "proof"]
    assert (told["status"], "never rehearsed" in told["summary"]) == (status, True)


def test_steps_that_could_not_be_done_are_findings_too() -> None:
    steps = [
        {"name": "Ask", "host": "front", "status": "unreachable", "msg": "no route\nto host"},
        {"name": "Look", "host": "back", "status": "failed", "msg": "no such bucket"},
        {"name": "Look", "host": "back", "status": "ok"},
    ]
    result = {"findings": [doctor.made("host_disk", "ok", "fine")], "steps": steps, "refusal": None}
    found = list(doctor.of_run(result))
    assert [(one["check"], one["host"], one["status"]) for one in found] == [
        ("host_disk", "controller", "ok"),
        ("reachable", "front", "fail"),
        ("preflight", "back", "fail"),
    ]
    assert found[1]["summary"] == "Ask: no route to host"
    refused = {"findings": [], "steps": [], "refusal": {"reason": "No host.", "next_step": "add one"}}
    assert _bad(doctor.of_run(refused)) == [("preflight", "No host. add one")]
