"""Ways in which plain Ansible ends green though nothing was measured or done: none works on any runbook.

They run over the catalog, so a runbook that is new is tested by being there. The inventory is made here:
nothing of a real system can be reached by it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook.catalog_runbooks import Runbook, read_runbook, runbook_files

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = [read_runbook(path) for path in runbook_files(ROOT / "playbooks")]
GREEN_OR_KNOWN = {0, 1, 3}
"""Codes that say that something was measured."""
_OURS = ("ANSIBLE_", "ONCALL_", "RUNBOOK_", "REHEARSAL_", "ROOST_")


@dataclass
class Trap:
    """One runbook, an inventory of a made-up system, and a state folder."""

    runbook: Runbook
    folder: Path

    def run(
        self, hosts: dict[str, Any], *arguments: str, **environment: str
    ) -> tuple[int, dict[str, Any], str]:
        """Run the playbook on `hosts`; return Ansible's code, the result ({} without one) and the output."""
        inventory = self.folder / "hosts.yml"
        system = {"name": "trap", "runbooks": {self.runbook.name: {"severity": "SEV-3"}}}
        group = {self.runbook.group: {"hosts": hosts}}
        inventory.write_text(json.dumps({"all": {"vars": {"system": system}, "children": group}}))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        ours = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "RUNBOOK_STATE": str(self.folder / "state")}
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory)]
        done = subprocess.run(
            [*command, str(self.runbook.path), *arguments], cwd=self.folder,
            env={**kept, **ours, "HOME": str(self.folder), "NO_COLOR": "1", **environment},
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        results = sorted((self.folder / "state").glob("runs/*/result.json"))
        return (
            done.returncode,
            json.loads(results[-1].read_text()) if results else {},
            done.stdout + done.stderr,
        )


# Nobody listens on port 1: a host that is not there, without a packet to anywhere.
LOST = {
    "lost": {
        "ansible_host": "127.0.0.1",
        "ansible_port": 1,
        "ansible_connection": "ssh",
        "ansible_timeout": 2,
    }
}


@pytest.fixture(params=RUNBOOKS, ids=lambda runbook: runbook.name)
def trap(request: pytest.FixtureRequest, tmp_path: Path) -> Trap:
    """Every runbook of the catalog in turn."""
    return Trap(request.param, tmp_path)


def test_a_group_without_a_host_is_refused(trap: Trap) -> None:
    code, result, output = trap.run({})
    assert code != 0, output
    assert result["exit"]["name"] == "usage"
    assert trap.runbook.group in result["exit"]["reason"]


def test_a_host_that_cannot_be_reached_is_never_healthy(trap: Trap) -> None:
    code, result, output = trap.run(LOST)
    assert code != 0, output
    assert result["exit"]["code"] not in GREEN_OR_KNOWN, result["exit"]
    assert result["exit"]["reason"]
    assert not [finding for finding in result["findings"] if finding["status"] == "ok"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("-e", "mitigation=gremlins"), "usage"),
        (("-e", "undo=20200101t000000z-000000", "-e", "confirm=trap"), ""),
        (("-e", "mitigaton=x"), "usage"),
        (("--tags", "mitigate,verify"), ""),
        (("--skip-tags", "diagnose"), ""),
        (("--limit", "lost"), ""),
        (("--limit", "nobody"), ""),
        (("--start-at-task", "Restore"), ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_what_was_asked_wrongly_or_in_part_is_never_green(
    trap: Trap, arguments: tuple[str, ...], name: str
) -> None:
    code, result, output = trap.run(LOST, *arguments)
    assert code != 0 or result == {}, output
    if name:
        assert result["exit"]["name"] == name, result["exit"]
    assert result == {} or result["exit"]["code"] not in {0, 3}, result["exit"]
    assert not [s for s in result.get("steps", []) if s["phase"] == "mitigate" and s["status"] == "changed"]


@pytest.mark.slow
def test_without_the_record_nothing_is_measured(trap: Trap) -> None:
    code, result, output = trap.run(LOST, ANSIBLE_CALLBACKS_ENABLED="junit")
    assert code != 0
    assert result == {}
    assert "not recorded" in output


# A command is skipped in check mode and then looks as if it had ended well.
_COMMANDS = {"command", "shell", "raw", "script", "expect"}
_SOURCES = sorted(
    path
    for folder in ("playbooks", "collections/ansible_collections/oncall/runbooks/roles")
    for path in (ROOT / folder).rglob("*.yml")
    if path.parent.name in ("tasks", "handlers", "playbooks")
)


def _tasks(node: Any) -> list[dict[str, Any]]:
    """Every task below a node of YAML, also in blocks and plays."""
    if isinstance(node, list):
        return [task for item in node for task in _tasks(item)]
    if not isinstance(node, dict):
        return []
    inner = ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")
    nested = [task for name in inner if name in node for task in _tasks(node[name])]
    return nested if any(name in node for name in inner) else [node]


def skipped_probes(text: str) -> list[str]:
    """Return the names of tasks that run a command and do not say what check mode and a change are."""
    found = []
    for task in _tasks(yaml.safe_load(text)):
        uses = {name.rsplit(".", 1)[-1] for name in task} & _COMMANDS
        if uses and ("check_mode" not in task or "changed_when" not in task):
            found.append(str(task.get("name")))
    return found


@pytest.mark.parametrize("path", _SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_probe_is_skipped_in_check_mode(path: Path) -> None:
    assert skipped_probes(path.read_text()) == []


def test_a_probe_that_would_be_skipped_is_seen() -> None:
    text = "- block: [{name: Look, ansible.builtin.command: uptime, changed_when: false}]"
    assert skipped_probes(text) == ["Look"]
    assert skipped_probes(text.replace("changed_when", "check_mode: false, changed_when")) == []


def test_there_is_a_catalog() -> None:
    assert len(RUNBOOKS) >= 1
    assert len(_SOURCES) > 10
