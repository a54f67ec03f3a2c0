"""Runs of a real `ansible-playbook` that take the lock of one system, over SSH or locally."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils.lease.file import FileStore
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.protocol import LockProtocol
from runbook_engine.lock_status import LockStatus, process_started, read_status

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Runs:
    """Starts runs against `hosts` and looks at the one lock they all want."""

    folder: Path
    hosts: dict[str, dict[str, Any]]
    lease: float = 3.0
    """Seconds; a renewal may take a third of it, so over SSH on a machine with much to do it is longer."""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def lock(self) -> LockProtocol:
        """The lock as the target sees it."""
        return LockProtocol(FileStore("roost", {"directory": str(self.folder / "locks")}))

    def held(self) -> bool:
        """Whether anybody holds it."""
        return bool(self.lock().info()["lock"]["held"])

    def free(self) -> bool:
        """Whether nobody holds it."""
        return not self.held()

    def start(self, who: str, *options: str, **variables: Any) -> subprocess.Popen[str]:
        """Start one run of `play.yml`."""
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"targets": {"hosts": self.hosts}}))
        state = self.folder / "state" / who
        given = {"test_folder": str(self.folder), "test_who": who, "run_lock_lease": self.lease, **variables}
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "RUNBOOK_STATE": str(state),
            "RUNBOOK_OPERATOR": who,
        }
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), *options]
        command += ["-e", json.dumps(given), str(Path(__file__).with_name("play.yml"))]
        run = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
        )
        self.started.append(run)
        return run

    def finish(self, who: str, *options: str, **variables: Any) -> tuple[int, str]:
        """Run to the end and return exit code and output."""
        run = self.start(who, *options, **variables)
        output, _ = run.communicate(timeout=150)
        return run.returncode, output

    def record(self, who: str) -> Path:
        """The folder of `who`'s only run."""
        (folder,) = (self.folder / "state" / who / "runs").iterdir()
        return folder

    def exit(self, who: str) -> tuple[int, str]:
        """Code and name of the exit of `who`'s run."""
        ended = json.loads((self.record(who) / "result.json").read_text())["exit"]
        return ended["code"], ended["name"]

    def status(self, who: str) -> LockStatus:
        """What the run of `who` knows of its lock."""
        status = read_status(self.record(who))
        assert status is not None
        return status

    def plan(self, who: str) -> dict[str, Any]:
        """What the run of `who` knew after asking for the lock."""
        told: dict[str, Any] = json.loads((self.folder / f"plan.{who}.json").read_text())
        return told

    def changed(self, who: str) -> bool:
        """Whether the run of `who` got to its change."""
        return (self.folder / f"changed.{who}").exists()

    def go(self) -> None:
        """Let the waiting run continue."""
        (self.folder / "go").touch()

    def wait_for(self, what: Callable[[], bool], timeout: float = 60) -> float:
        """Wait until `what` holds and return the seconds it took."""
        began = time.monotonic()
        while not what():
            ended = [r for r in self.started if r.poll() not in (None, 9, -signal.SIGKILL, -signal.SIGTERM)]
            assert not ended, ended[0].communicate()[0]
            assert time.monotonic() - began < timeout, "waited in vain"
            time.sleep(0.05)
        return time.monotonic() - began

    def holding(self, who: str, **variables: Any) -> subprocess.Popen[str]:
        """Start a run and wait until it holds the lock and waits for `go`."""
        run = self.start(who, test_wait=True, **variables)
        self.wait_for((self.folder / f"plan.{who}.json").exists)
        return run

    def keeper_gone(self, status: LockStatus) -> bool:
        """Whether the keeper of that lock has ended."""
        return process_started(status.keeper) == ""

    def end(self) -> None:
        """End what is left of the runs."""
        self.go()
        for run in self.started:
            run.kill()
            run.communicate()
