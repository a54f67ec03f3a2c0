"""Real `ansible-playbook` runs over the small runbook of `fixtures/`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.base import Holder
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.file import FileStore
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.protocol import LockProtocol
from jsonschema import Draft202012Validator
from runbook_engine import record
from runbook_engine.state import RunFolder

from .barn import barn

__all__ = ["barn"]

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).resolve().parent / "fixtures"
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


@dataclass
class Run:
    """What one command left behind."""

    code: int
    output: str
    folders: list[Path]
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def exit(self) -> tuple[int, str]:
        """Code and name of the run's exit."""
        return self.result["exit"]["code"], self.result["exit"]["name"]

    def events(self) -> list[dict[str, Any]]:
        """The events of the newest run."""
        return [json.loads(line) for line in (self.folders[-1] / "events.jsonl").read_text().splitlines()]


def validator(name: str) -> Draft202012Validator:
    """Return what checks against a published schema."""
    schema = json.loads((ROOT / "docs" / "schema" / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _is_whole(run: Run) -> None:
    """Every run that has a result, however it ended: its record verifies, and is as it is published."""
    record.verify(RunFolder(run.folders[-1].name, run.folders[-1]))
    validator("result-1.json").validate(run.result)
    of_events = validator("event-1.json")
    for event in run.events():
        of_events.validate(event)


@dataclass
class Engine:
    """Runs the fixture playbooks with a state folder of its own."""

    folder: Path
    stdout_callback: str = "default"
    roles: list[Path] = field(default_factory=list)
    root: Path = ROOT
    fixtures: Path = FIXTURES

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.folder / "state"

    @property
    def ledger(self) -> Path:
        """Where the steps of `fence_down.yml` write what they really did."""
        return self.folder / "ledger"

    def done(self) -> list[str]:
        """What was really done, in order."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    @property
    def lock(self) -> LockProtocol:
        """The lock of the system as its host sees it."""
        return LockProtocol(FileStore("barn", {"directory": str(self.folder / "locks")}))

    def run(self, *arguments: str, **given: Any) -> Run:
        """Run `ansible-playbook` and return what came of it."""
        command, env = self._command(*arguments, **given)
        done = subprocess.run(
            command, env=env, cwd=self.folder, capture_output=True, text=True, timeout=180, check=False
        )
        return self._left(done)

    def start(self, *arguments: str, **given: Any) -> subprocess.Popen[str]:
        """Start `ansible-playbook` and return at once."""
        command, env = self._command(*arguments, **given)
        return subprocess.Popen(
            command, env=env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def _command(
        self,
        *arguments: str,
        case: str = "",
        playbook: str = "door_stuck.yml",
        inventory: str = "hosts.yml",
        file_limit: int = 0,
        **environment: str,
    ) -> tuple[list[str], dict[str, str]]:
        config = self.folder / "ansible.cfg"
        config.write_text(self._config())
        unset = ("ONCALL_", "RUNBOOK_", "ANSIBLE_")
        env = {k: v for k, v in os.environ.items() if not k.startswith(unset)}
        env |= {
            "ANSIBLE_CONFIG": str(config),
            "RUNBOOK_STATE": str(self.state),
            "CASE": case,
            "LEDGER": str(self.ledger),
            "NO_COLOR": "1",
        }
        env |= {"HOME": str(self.folder), **environment}
        command = [
            str(PLAYBOOK),
            "-i",
            str(self.fixtures / inventory),
            str(self.fixtures / playbook),
            *arguments,
        ]
        if file_limit:
            # Files of this many bytes are full: the nearest to a full disk that needs no mount.
            command = ["prlimit", f"--fsize={file_limit}", *command]
        return command, env

    def somebody_locks(self) -> None:
        """Another operator's run holds the lock."""
        other = Holder("20260101t000000z-abcdef", "bob", "elsewhere", 1, "restore")
        self.lock.acquire(other, 60.0)

    def until_free(self, seconds: float = 5.0) -> None:
        """Wait until nobody holds the lock: the keeper of a run that was interrupted needs a moment."""
        deadline = time.monotonic() + seconds
        while self.lock.info()["lock"]["held"]:
            assert time.monotonic() < deadline, "the lock is still held"
            time.sleep(0.05)

    def _left(self, done: subprocess.CompletedProcess[str]) -> Run:
        folders = sorted((self.state / "runs").glob("*")) if (self.state / "runs").is_dir() else []
        made = Run(done.returncode, done.stdout + done.stderr, folders)
        if folders and (folders[-1] / "result.json").is_file():
            made.result = json.loads((folders[-1] / "result.json").read_text())
            _is_whole(made)
        return made

    def _config(self) -> str:
        roles = [self.root / "playbooks" / "roles", self.fixtures / "roles", *self.roles]
        return (
            "[defaults]\n"
            f"callback_plugins = {self.root}/plugins/callback:{self.fixtures}/callback_plugins\n"
            f"filter_plugins = {self.root}/plugins/filter\n"
            f"roles_path = {':'.join(map(str, roles))}\n"
            f"action_plugins = {self.fixtures}/action_plugins:{self.root}/plugins/action\n"
            f"collections_path = {self.root}/collections\n"
            "callbacks_enabled = record, warm, loaded, strike\n"
            "localhost_warning = False\nshow_custom_stats = True\n"
            f"stdout_callback = {self.stdout_callback}\nlocal_tmp = {self.folder}/tmp\n"
            f"remote_tmp = {self.folder}/tmp\n"
        )


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what runs execute: a plan is bound to every byte of it, and a checkout may be worked in."""
    made = tmp_path_factory.mktemp("tree")
    skipped = shutil.ignore_patterns("__pycache__", ".*", "*.md")
    for part in ("plugins", "collections", "playbooks"):
        shutil.copytree(ROOT / part, made / part, ignore=skipped, symlinks=True)
    shutil.copytree(FIXTURES, made / "fixtures", ignore=skipped)
    return made


@pytest.fixture
def engine(tmp_path: Path, tree: Path) -> Engine:
    """A place to run in."""
    return Engine(tmp_path, root=tree, fixtures=tree / "fixtures")
