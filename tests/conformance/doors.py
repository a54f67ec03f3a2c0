"""The four doors through which a runbook is started, each as its users have it; when results are alike."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
OVERRIDE = "the doors are compared"
_OURS = ("ANSIBLE_", "AWX_", "MOLECULE_", "ONCALL_", "RUNBOOK_")
# What AWX tells every job besides its survey answers, under both names that it has had.
_AWX = {
    f"{prefix}_{name}": value
    for prefix in ("awx", "tower")
    for name, value in {"job_id": 7, "job_template_id": 7, "user_id": 7, "user_name": "alice"}.items()
}


@dataclass(frozen=True)
class Asked:
    """One thing to be done at every door: a mitigation of a runbook, planned and then applied."""

    system: str
    runbook: str
    mitigation: str
    overlays: tuple[str, ...] = ()

    @property
    def playbook(self) -> str:
        """Path of the playbook inside the project."""
        return f"playbooks/{self.runbook.replace('-', '_')}.yml"

    @property
    def inventories(self) -> list[str]:
        """Paths of the inventories inside the project."""
        return [f"inventories/{self.system}", *self.overlays]

    def variables(self, digest: str) -> dict[str, str]:
        """What the operator gives: for the plan the mitigation only, to apply also name and digest."""
        applied = {"confirm": self.system, "plan_digest": digest} if digest else {}
        return {"mitigation": self.mitigation, **applied}


@dataclass
class Door(ABC):
    """One door: a project of its own, a state folder of its own, and the environment of its operator."""

    project: Path
    asked: Asked
    env: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.project.parent / "state"

    def results(self) -> list[dict[str, Any]]:
        """Results of all runs, the oldest first."""
        return [json.loads(path.read_text()) for path in sorted(self.state.glob("runs/*/result.json"))]

    @abstractmethod
    def plan_and_apply(self) -> list[dict[str, Any]]:
        """Plan, apply exactly that plan, and return both results."""

    def environment(self) -> dict[str, str]:
        """The environment of the command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        path = f"{BIN}{os.pathsep}{kept['PATH']}"
        return kept | {
            "PATH": path,
            "RUNBOOK_STATE": str(self.state),
            "RUNBOOK_OPERATOR": "alice",
            **self.env,
        }

    def call(self, *command: str, cwd: Path | None = None) -> None:
        """Run a command; it has to end well."""
        done = subprocess.run(
            command, cwd=cwd or self.project, env=self.environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 3), f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"

    def extra_vars(self, digest: str) -> list[str]:
        """The options of ansible-playbook for one run."""
        given = [
            part for name, value in self.asked.variables(digest).items() for part in ("-e", f"{name}={value}")
        ]
        return [*given, "--diff", *([] if digest else ["--check"])]


class TwoStep(Door):
    """A door where the plan is one run, and its application another that is bound to it."""

    def plan_and_apply(self) -> list[dict[str, Any]]:
        """Plan, apply exactly that plan, and return both results."""
        self.run("")
        assert len(self.results()) == 1
        self.run(str(self.results()[0]["plan"]["digest"]))
        return self.results()

    @abstractmethod
    def run(self, digest: str) -> None:
        """Start one run: the plan when `digest` is empty, else its application."""


class Plain(TwoStep):
    """`ansible-playbook` in the project."""

    def run(self, digest: str) -> None:
        """Start one run."""
        inventories = [part for path in self.asked.inventories for part in ("-i", path)]
        self.call("ansible-playbook", *inventories, self.asked.playbook, *self.extra_vars(digest))


class Wrapper(Door):
    """`runbook run`: plan and application are one command."""

    def plan_and_apply(self) -> list[dict[str, Any]]:
        """Let the command plan and apply."""
        overlays = [part for path in self.asked.overlays for part in ("--inventory", path)]
        asked = (self.asked.system, self.asked.runbook, "--mitigation", self.asked.mitigation)
        command = ("-m", "runbook.cli", "run", *asked, "--apply", "--confirm", self.asked.system)
        self.call(sys.executable, *command, *overlays)
        return self.results()


class Awx(TwoStep):
    """`ansible-runner run` on a folder as AWX lays it out: project, inventory, env/extravars."""

    def run(self, digest: str) -> None:
        """Start one run."""
        private = self.project.parent
        environment = private / "env"
        environment.mkdir(exist_ok=True)
        answers = {**self.asked.variables(digest), **_AWX}
        if digest and self.asked.overlays:
            # A copy of a stand-in's inventory does not look like one: a proof is asked for.
            answers["override"] = OVERRIDE
        (environment / "extravars").write_text(json.dumps(answers))
        (environment / "cmdline").write_text("--diff" if digest else "--diff --check")
        # Every job has the same environment: who asked for it is in the extra variables.
        told = {"JOB_ID": "7", "AWX_HOST": "http://127.0.0.1", "RUNBOOK_OPERATOR": "awx"}
        (environment / "envvars").write_text(json.dumps(told))
        self._lay_out_inventory(private / "inventory")
        self.call("ansible-runner", "run", str(private), "-p", self.asked.playbook, cwd=private)

    def _lay_out_inventory(self, target: Path) -> None:
        """Like an inventory that AWX has from a project: its own copy, exported when there are several."""
        if target.exists():
            return
        if not self.asked.overlays:
            shutil.copytree(self.project / self.asked.inventories[0], target)
            return
        target.mkdir()
        sources = [part for path in self.asked.inventories for part in ("-i", path)]
        export = ("--list", "--yaml", "--export", "--output", str(target / "hosts.yml"))
        self.call("ansible-inventory", *sources, *export)

    def artifact(self) -> dict[str, Any]:
        """The result of the newest run as AWX stores it: the custom stats of its last event."""
        events = (self.project.parent / "artifacts").glob("*/job_events/*.json")
        told = [json.loads(path.read_text())["event_data"].get("artifact_data") for path in events]
        found = [data["runbook_result"] for data in told if data and "runbook_result" in data]
        return max(found, key=lambda result: result["run"])


class Molecule(TwoStep):
    """`molecule converge` of a scenario that imports the playbook."""

    def run(self, digest: str) -> None:
        """Start one run."""
        scenario = self.project.parent / "molecule" / "door"
        scenario.mkdir(parents=True, exist_ok=True)
        inventories = [f"--inventory={self.project / path}" for path in self.asked.inventories]
        (scenario / "molecule.yml").write_text(json.dumps(_scenario(self.project, inventories)))
        playbook = str(self.project / self.asked.playbook)
        imported = {"name": "Converge", "ansible.builtin.import_playbook": playbook}
        (scenario / "converge.yml").write_text(json.dumps([imported]))
        self.call(
            "molecule", "converge", "-s", "door", "--", *self.extra_vars(digest), cwd=self.project.parent
        )


def _scenario(project: Path, inventories: list[str]) -> dict[str, Any]:
    return {
        "prerun": False,
        "dependency": {"enabled": False},
        "driver": {"name": "default"},
        "platforms": [{"name": "door"}],
        "ansible": {
            "env": {"ANSIBLE_CONFIG": str(project / "ansible.cfg")},
            "executor": {"args": {"ansible_playbook": inventories}},
        },
        "scenario": {"converge_sequence": ["converge"]},
    }


DOORS = {"ansible-playbook": Plain, "runbook": Wrapper, "awx": Awx, "molecule": Molecule}

_RUN = re.compile(r"\d{8}t\d{6}z[-_][0-9a-f]{6}")
# The hash of a chain of times, and the command that is right at this door.
_OF_A_RUN = ("head", "next_step")
_OF_THE_MACHINE = ("load", "memory", "docker_disk")
_NUMBER = re.compile(r"\d[\d.,]*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)")


def alike(value: Any, key: str = "", *, measured: bool = False) -> Any:
    """Return a result without what differs from run to run: times, ids, the door, the place of its inventory.

    measured: without numbers too, and of a finding only what it found: two stand-ins have other ports, free
    bytes and loads.
    """
    if key in ("inventories", "door"):
        return key.upper()
    if isinstance(value, Mapping):
        return _alike_mapping(value, measured)
    if isinstance(value, list):
        return [alike(item, measured=measured) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0 if measured or key.endswith("_s") else value
    if isinstance(value, str):
        text = _TIME.sub("TIME", _RUN.sub("RUN", value))
        return _NUMBER.sub("N", text) if measured else text
    return value


def _alike_mapping(value: Mapping[str, Any], measured: bool) -> Any:
    if measured and {"check", "host", "status"} <= value.keys():
        return [value["check"], value["host"], value["check"] in _OF_THE_MACHINE or value["status"]]
    return {
        name: alike(item, name, measured=measured) for name, item in value.items() if name not in _OF_A_RUN
    }


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return where two values differ, and how."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = sorted(one.keys() | other.keys())
        return [d for n in names for d in differences(one.get(n), other.get(n), f"{where}.{n}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for n, (a, b) in pairs for d in differences(a, b, f"{where}[{n}]")]
    return [] if one == other else [f"{where}: {one!r} instead of {other!r}"[:400]]
