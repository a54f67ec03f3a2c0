# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a playbook through ansible-runner and hand back what its record says."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from runbook_engine import record, state
from runbook_engine.errors import EngineError
from runbook_engine.ids import new_run_id

from runbook.project import Project
from runbook.runner_environment import child_environment
from runbook.runner_private import private_folder, swallowed
from runbook.runner_processes import end_all, interrupt
from runbook.runner_pty import close_promptly
from runbook.runner_stop import Stopper

_POLL_S = 0.1
_GRACE_S = 5.0
_CLEAN_UP_S = 30.0
"""Ansible ends what it began on its hosts before it ends; a restore drops there what it has half made."""
_KEPT_LINES = 60
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class RunnerError(EngineError):
    """Ansible could not be run."""

    kind = "runner"


class Observer(Protocol):
    """Somebody who watches a run; called often from the thread that started it."""

    def started(self, folder: state.RunFolder) -> None:
        """The run has its folder; nothing is in it yet."""

    def poll(self) -> None:
        """Look at the folder."""

    def stopping(self, now: bool) -> None:
        """A stop was asked for: after the current step, or now."""

    def ended(self) -> None:
        """No process of the run is left."""


@dataclass(frozen=True)
class Request:
    """One execution of a runbook. `check`: predict, change nothing; `timeout` in seconds, 0 = none.

    `given`: the folders that the operator named, `project` and `state`; suggested commands repeat them.
    `skip_tags`: tasks with one of these tags are left out.
    """

    project: Project
    playbook: Path
    inventories: tuple[Path, ...]
    state: Path
    variables: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    limit: str = ""
    timeout: float = 0
    given: Mapping[str, str] = field(default_factory=dict)
    skip_tags: tuple[str, ...] = ()

    @property
    def options(self) -> str:
        """Options of ansible-playbook beside inventories and variables."""
        skipped = f" --skip-tags {','.join(self.skip_tags)}" if self.skip_tags else ""
        return ("--check --diff" if self.check else "--diff") + skipped


@dataclass(frozen=True)
class Outcome:
    """What is known after a run: `result` from its record (None: there is none), and Ansible's last words."""

    run: str
    folder: state.RunFolder
    result: dict[str, Any] | None
    rc: int | None
    stopped: str
    output: str
    damage: str = ""


def execute(request: Request, observer: Observer) -> Outcome:
    """Run the playbook to its end and return the outcome; main thread only, because it takes the signals."""
    folder = state.run_folder(request.state, new_run_id())
    mark = f"RUNBOOK_MARK={secrets.token_hex(16)}"
    stopper = Stopper(lambda: _ask_to_stop(folder, observer))
    with private_folder() as private, stopper:
        job = _Job(request, private, folder, mark, stopper)
        observer.started(folder)
        try:
            job.start()
            _watch(job, stopper, observer, mark)
        finally:
            end_all(mark, _GRACE_S)
            job.join()
            observer.poll()
            observer.ended()
    return _outcome(job, folder, stopper)


class _Job(threading.Thread):
    """ansible-runner in a thread of its own, so that signals and the live view are served at once."""

    def __init__(
        self, request: Request, private: Path, folder: state.RunFolder, mark: str, stopper: Stopper
    ) -> None:
        super().__init__(name="ansible-runner", daemon=True)
        self.rc: int | None = None
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.error: BaseException | None = None
        self.request, self._private, self.folder, self._mark = request, private, folder, mark
        self._stopper = stopper

    def run(self) -> None:
        """Run ansible-playbook; what goes wrong on our side is kept in `error`."""
        try:
            self._run()
        except BaseException as error:
            # A thread has nobody to raise to.
            self.error = error

    def _run(self) -> None:
        from ansible_runner import Runner, RunnerConfig  # noqa: PLC0415 - not needed to list and show

        close_promptly()
        config = RunnerConfig(
            str(self._private),
            playbook=str(self.request.playbook),
            quiet=True,
            ident="run",
            inventory=[str(path) for path in self.request.inventories],
            limit=self.request.limit or None,
            extravars=dict(self.request.variables),
            cmdline=self.request.options,
            project_dir=str(self.request.project.root),
            fact_cache_type="none",
            omit_event_data=True,
        )
        config.prepare()
        self._adjust(config)
        with swallowed(Path(config.artifact_dir) / "command"):
            runner = Runner(config, event_handler=self._event, cancel_callback=lambda: False)
            runner.run()
        self.rc = runner.rc

    def _adjust(self, config: Any) -> None:
        """Undo what ansible-runner would do to the environment, and let it write nothing."""
        ours = child_environment(self.request.project, self.request.inventories, self._private)
        # Not ansible-runner's own output plugin: it would write every event again, into files, and take
        # a tenth of a second for it.
        callbacks = self.request.project.root / "plugins" / "callback"
        name, _, value = self._mark.partition("=")
        config.env = ours | {
            "ANSIBLE_CALLBACK_PLUGINS": str(callbacks),
            "RUNBOOK_RUN_ID": self.folder.run,
            "RUNBOOK_DOOR": "runbook",
            "RUNBOOK_STATE": str(self.request.state),
            **{f"RUNBOOK_GIVEN_{what.upper()}": path for what, path in self.request.given.items()},
            name: value,
        }
        config.command[0] = str(program("ansible-playbook"))
        config.suppress_ansible_output = config.suppress_output_file = True
        config.pexpect_timeout = _POLL_S

    def _event(self, event: dict[str, Any]) -> bool:
        """Keep the last lines of output in memory; no event is written to a file."""
        self.lines.extend((event.get("stdout") or "").splitlines())
        return False


def program(name: str) -> Path:
    """Return a program of the environment that runbook is installed in, whether it is on PATH or not."""
    here = Path(sys.executable).parent / name
    found = here if here.is_file() else shutil.which(name)
    if found is None:
        raise RunnerError(f"{name} is not installed.", "install runbook again: pipx install .")
    return Path(found)


def _ask_to_stop(folder: state.RunFolder, observer: Observer) -> None:
    """Leave the wish where the engine looks before each step."""
    _leave_word(folder, "the operator asked for it")
    observer.stopping(now=False)


def _leave_word(folder: state.RunFolder, reason: str) -> None:
    if folder.path.is_dir():
        folder.stop.touch(mode=0o600)
        folder.stop.write_text(reason)


def _watch(job: _Job, stopper: Stopper, observer: Observer, mark: str) -> None:
    """Serve the live view until the job has ended or has to end now."""
    limit = job.request.timeout
    deadline = time.monotonic() + limit if limit else None
    while job.is_alive():
        observer.poll()
        if deadline is not None and time.monotonic() > deadline:
            stopper.stop_now(f"the time limit of {limit:g} s is over")
        if stopper.now:
            observer.stopping(now=True)
            _leave_word(job.folder, stopper.reason)
            interrupt(mark)
            _wait_for(job, observer)
            return
        job.join(_POLL_S)


def _wait_for(job: _Job, observer: Observer) -> None:
    """Not for every process: masters of SSH connections live on for a while, and are ended afterwards."""
    deadline = time.monotonic() + _CLEAN_UP_S
    while job.is_alive() and time.monotonic() < deadline:
        observer.poll()
        job.join(_POLL_S)


def _outcome(job: _Job, folder: state.RunFolder, stopper: Stopper) -> Outcome:
    if job.error is not None:
        if isinstance(job.error, EngineError):
            raise job.error
        raise RunnerError(
            f"ansible-runner did not work: {type(job.error).__name__}: {job.error}",
            f"look at what was recorded: runbook show-run {folder.run}",
        ) from job.error
    stopped = stopper.reason or ("after the current step" if stopper.soon else "")
    output = "\n".join(_ANSI.sub("", line) for line in job.lines)
    result, damage = None, ""
    if folder.events.is_file():
        try:
            # From the events, not from result.json: a run that was killed has none.
            result = record.settled(folder)
        except EngineError as error:
            damage = str(error)
    return Outcome(folder.run, folder, result, job.rc, stopped, output, damage)
