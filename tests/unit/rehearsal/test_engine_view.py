"""What a stand-in of containers needs of the machine, and what it leaves there: nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runbook.rehearsal import engine_view, isolation
from runbook.rehearsal.processes import StandInError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that has everything, as root."""
    monkeypatch.setattr(engine_view, "_program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(engine_view, "_installed_plugin", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return monkeypatch


def test_a_machine_that_has_everything_will_do(machine: pytest.MonkeyPatch) -> None:
    engine_view.require()


@pytest.mark.parametrize(
    ("name", "is_now", "told"),
    [
        ("_program", lambda name: "" if name == "dockerd" else name, "no program dockerd .package docker.io"),
        ("_installed_plugin", lambda: False, "docker has no compose"),
    ],
)
def test_what_is_missing_is_named(machine: pytest.MonkeyPatch, name: str, is_now: object, told: str) -> None:
    machine.setattr(engine_view, name, is_now)
    machine.setattr(engine_view, "_own_plugin", lambda: "")
    with pytest.raises(StandInError, match=told):
        engine_view.require()


def test_only_root_starts_an_engine(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StandInError, match="only root"):
        engine_view.require()


def test_the_control_groups_of_containers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under both layouts: one tree, or one for each controller; a group that is in use stays."""
    monkeypatch.setattr(engine_view, "_GROUPS", tmp_path)
    monkeypatch.setattr(engine_view, "_PATIENCE_S", 0)
    monkeypatch.setenv("ONCALL_REHEARSAL_CGROUP", "that it is as before after the test")
    others = tmp_path / "memory" / "docker" / "somebody"
    others.mkdir(parents=True)
    # Of a rehearsal that was killed.
    (tmp_path / "memory" / f"oncall-rehearsal-{2**22 + 1}" / "c0ffee").mkdir(parents=True)
    with engine_view.control_group():
        for tree in (tmp_path, tmp_path / "memory", tmp_path / "pids"):
            (tree / engine_view.group()[1:] / "c0ffee").mkdir(parents=True)
    assert {path.name for path in tmp_path.rglob("*")} == {"memory", "pids", "docker", "somebody"}


def test_containers_are_only_there_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCALL_REHEARSAL_TIER", "docker")
    monkeypatch.delenv("ONCALL_REHEARSAL_ISOLATION", raising=False)
    assert isolation.tier() == "embedded", "outside of the namespace that was made for them there are none"
    monkeypatch.setenv("ONCALL_REHEARSAL_ISOLATION", "namespace")
    assert (isolation.tier(), isolation.described()) == ("docker", "containers")
    monkeypatch.delenv("ONCALL_REHEARSAL_TIER")
    assert (isolation.tier(), isolation.described()) == ("embedded", "namespace")
