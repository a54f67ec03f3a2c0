# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the record of a runbook's run: see DOCUMENTATION."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ansible import constants as C  # noqa: N812 - Ansible's own name for it
from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine import commands, current, lock_status, origin, state, sweep
from runbook_engine.errors import EngineError
from runbook_engine.pick import effect_of, phase_of, picked, step_name
from runbook_engine.record import RecordWriter
from runbook_engine.steering import Steering
from runbook_engine.stopping import place, stop_reason, timed_out
from runbook_engine.tether import tie_workers

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = r"""
name: record
type: aggregate
short_description: Writes the record of a runbook's run
version_added: 0.1.0
author: the oncall.runbooks authors (@oncall-runbooks)
description:
  - Writes every event of a run durably into the state folder, as it happens, each chained to the one before,
    and the result at the end. See C(docs/record.md).
  - A playbook without the variable C(runbook) in its first play is no runbook and is left alone.
requirements:
  - enabled in C(callbacks_enabled)
"""

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_BAD = ("failed", "rescued", "ignored", "unreachable")

# Facts that tasks of the role `run` set, and the event each becomes.
_FACTS = {
    "run_opened": "run.opened",
    "run_refusal": "run.refused",
    "run_recommendation": "recommendation",
    "run_gate": "gate",
    "run_lock_seen": "lock.seen",
    "run_lock_taken": "lock.taken",
    "run_lock_freed": "lock.released",
    "run_reconciled": "step.reconciled",
    "run_undone": "undo.done",
    "run_closed": "run.closed",
}


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Turns what Ansible reports into events."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writer: RecordWriter | None = None
        self._pid = os.getpid()
        self._numbers: dict[str, int] = {}
        self._begun: dict[tuple[int, str], float] = {}
        self._working: set[tuple[int, str]] = set()
        self._locked = self._closed = False
        self._steering = Steering("")
        self._play: Play | None = None
        self._play_context: Any = None
        atexit.register(self._interrupted)

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Open the record, before any worker exists that would inherit the environment."""
        plays = playbook.get_plays()
        header = plays[0].vars.get("runbook") if plays else None
        if not isinstance(header, dict):
            return
        _forget()
        try:
            self._open(playbook, header, plays[0])
        except (EngineError, OSError) as error:
            reason = (
                error.reason if isinstance(error, EngineError) else f"The run cannot be recorded: {error}."
            )
            os.environ[current.PROBLEM] = reason

    def _open(self, playbook: Playbook, header: dict[str, Any], play: Play) -> None:
        folder = state.create_run(state.state_dir(), os.environ.pop("RUNBOOK_RUN_ID", None))
        self._writer = RecordWriter(folder)
        self._numbers, self._begun, self._working = {}, {}, set()
        self._locked = self._closed = False
        self._steering = Steering(folder.run)
        path = origin.playbook(play, playbook._file_name)
        commit, dirty = origin.commit(path.parent)
        asked = _asked()
        extra = play.get_variable_manager().extra_vars
        # The lock names the same one.
        os.environ["RUNBOOK_OPERATOR"] = operator = origin.operator(variables=extra)
        self._append(
            "run.started",
            {
                "run": folder.run,
                "runbook": header,
                "playbook": path.name,
                "commit": commit,
                "dirty": dirty,
                "operator": operator,
                "controller": origin.controller(),
                "door": origin.door(),
                "check_mode": bool(context.CLIARGS.get("check")),
                "versions": {"record": 1, "ansible": ansible_version, "python": sys.version.split()[0]},
                # Names only: a value may be a secret.
                "options": origin.given(extra),
                "asked": asked,
                "rehearsal": commands.is_rehearsal(asked["inventories"]),
            },
        )
        for number in _SIGNALS:
            signal.signal(number, _as_interrupt)
        tie_workers()
        os.environ[current.PLAYBOOK] = str(path)
        os.environ[current.RUN] = folder.run
        os.environ[current.FOLDER] = str(folder.path)
        os.environ[current.PROGRESS] = str(folder.progress)

    def set_play_context(self, play_context: Any) -> None:
        """Ansible hands over how the hosts of a play are reached, passwords too."""
        self._play_context = play_context

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Note which play begins."""
        self._play = play
        if self._writer is not None:
            self._append("play.started", {"name": play.get_name()})

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Note that a play had no host: with plain Ansible this is not even an error."""
        if self._writer is not None:
            self._append("play.no_hosts", {})

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's shape
        """Stop between two steps when that was asked for: every host has ended the step before."""
        if self._writer is None:
            return
        if self._writer.folder.stop.exists() or self._lock_is_lost(task):
            # The one exception by which Ansible itself ends a playbook early, and tidies up.
            raise KeyboardInterrupt
        self._steering.steer(task)

    def _lock_is_lost(self, task: Task) -> bool:
        """Half a change is worse than a whole one: only what would change something more is stopped."""
        if not self._locked or effect_of(task.tags) == "read" or self._writer is None:
            return False
        reason = lock_status.why_lost(self._writer.folder.path)
        if reason is not None:
            self._append("lock.lost", {"reason": reason})
        return reason is not None

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """A handler is a step like any other."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_start(self, host: Any, task: Task) -> None:
        """A step begins on a host."""
        if self._writer is None:
            return
        number = self._numbers.setdefault(task._uuid, len(self._numbers) + 1)
        name = host.get_name()
        self._begun[number, name] = time.monotonic()
        if phase_of(task.tags) != "engine":
            self._working.add((number, name))
        self._append(
            "step.started",
            {
                "step": number,
                "host": name,
                "name": _step_name(task),
                "phase": phase_of(task.tags),
                "effect": effect_of(task.tags),
                "action": task.action,
                **self._steering.begun(task, name),
            },
        )

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """A step ended well."""
        self._finished(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """A step was not run: never to be read as healthy."""
        self._finished(result, "skipped")

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """A step failed, whatever the playbook makes of it."""
        rescued = "rescued" if _is_rescued(result._task) else "failed"
        self._finished(result, "ignored" if ignore_errors else rescued)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """The host of a step was lost."""
        self._finished(result, "unreachable")

    def _finished(self, result: CallbackTaskResult, status: str) -> None:
        if self._writer is None:
            return
        # The names with an underscore are those that Ansible before 2.19 has, too.
        task, host, values = result._task, result._host.get_name(), result._result
        if values.get("timedout"):
            values = {**values, **timed_out(values["timedout"])}
            # What the step began goes on on its host: nothing may follow before that has ended.
            self._sweep([host])
        number = self._numbers.get(task._uuid, 0)
        began = self._begun.pop((number, host), None)
        self._working.discard((number, host))
        ended = {
            "step": number,
            "host": host,
            "name": _step_name(task),
            "phase": phase_of(task.tags),
            "status": status,
            "changed": bool(result.is_changed()),
            "duration_s": round(time.monotonic() - began, 3) if began is not None else None,
        }
        done = self._steering.done_before(task, host) if status == "skipped" else ""
        if done:
            ended["done_by"] = done
        self._append("step.finished", {**ended, **picked(values, host, status in _BAD)})
        self._note_facts(task, values)

    def _note_facts(self, task: Task, values: dict[str, Any]) -> None:
        """The role `run` speaks to the record through facts; nobody else can."""
        facts = values.get("ansible_facts")
        role = task._role.get_name() if task._role else ""
        if role != "run" or not isinstance(facts, dict):
            return
        for name, kind in _FACTS.items():
            if isinstance(facts.get(name), dict) and facts[name]:
                # The result is made of the events: only its exit is told again.
                data = {"exit": facts[name]["exit"]} if name == "run_closed" else dict(facts[name])
                self._append(kind, data)
                self._steering.note(kind, data)
                self._closed = self._closed or kind == "run.closed"
                self._locked = kind == "lock.taken" or (self._locked and kind != "lock.released")

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """The playbook ended, well or not: write the result."""
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        folder = self._writer.folder if self._writer is not None else None
        self._end("finished", hosts)
        ended = (state.load_result(folder) or {}).get("exit") if folder is not None else None
        if ended and ended["code"] and not self._closed and not any(map(_is_bad, hosts.values())):
            # The task that fails for it was left out too (--start-at-task, --tags): for Ansible all is well.
            raise SystemExit(ended["code"])

    def _interrupted(self) -> None:
        """The process ends before its playbook: the record says so. Workers inherit this handler."""
        if os.getpid() != self._pid:
            return
        # Whoever is impatient now would only lose the result.
        for number in (*_SIGNALS, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self._end("interrupted", {})

    def _end(self, ended: str, hosts: dict[str, Any]) -> None:
        if self._writer is not None and ended != "finished":
            self._sweep(sorted({host for _number, host in self._working}))
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with writer:
            writer.finish({"ended": ended, "hosts": hosts, **stop_reason(writer.folder)})
        _forget()

    def _sweep(self, hosts: list[str]) -> None:
        """End what steps left on their hosts, and note it."""
        if self._writer is None:
            return
        run, away = self._writer.folder.run, [h for h in hosts if not self._is_local(h)]
        told = {h: sweep.local(run, h) for h in hosts if h not in away}
        if away:
            told |= sweep.remote(self._place(), run, away)
        for host, found in told.items():
            if any(found.values()):
                self._append("run.swept", {"host": host, **found})

    def _place(self) -> sweep.Place:
        play = self._play
        variables = play.get_variable_manager().extra_vars if play is not None else {}
        loader = play.get_loader() if play is not None else None
        return place(context.CLIARGS, C.CONFIG_FILE, variables, self._play_context, loader)

    def _is_local(self, name: str) -> bool:
        if self._play is None:
            return False
        manager = self._play.get_variable_manager()
        host = manager._inventory.get_host(name)
        known = manager.get_vars(play=self._play, host=host) if host is not None else {}
        return str(known.get("ansible_connection")) == "local"

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        """Store an event. A run that can no longer be recorded stops here: no step may follow unrecorded."""
        if self._writer is None:
            return
        try:
            self._writer.append(kind, data)
        except OSError as error:
            path, self._writer = self._writer.folder.path, None
            self._display.error(
                f"The record in {path} cannot be written any more: {error.strerror}. The run stops before "
                "its next step: nothing may change unrecorded. Make room there, then look at the record."
            )
            # Ansible turns exceptions of callbacks into warnings and goes on; only this ends the run.
            raise SystemExit(21) from error


def _as_interrupt(number: int, _frame: FrameType | None) -> None:
    """End like after Ctrl-C: Ansible would die at once of the others, without a result and without a word."""
    signal.signal(number, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGINT)


def _asked() -> dict[str, Any]:
    """Where the run goes and is recorded, as it was asked for: a suggested command must go there too."""
    hosts = [name for name in str(context.CLIARGS.get("subset") or "").split(",") if name != "localhost"]
    return {
        "inventories": [str(path) for path in context.CLIARGS.get("inventory") or ()],
        "limit": ",".join(hosts),
        "project": os.environ.pop("RUNBOOK_GIVEN_PROJECT", None),
        "state": os.environ.pop("RUNBOOK_GIVEN_STATE", None),
    }


def _is_bad(summary: dict[str, int]) -> bool:
    """Whether Ansible itself ends with an error because of a host."""
    return bool(summary["failures"] or summary["unreachable"])


def _forget() -> None:
    """The next playbook of the same command is not part of this run."""
    for name in (current.RUN, current.FOLDER, current.PLAYBOOK, current.PROGRESS, current.PROBLEM):
        os.environ.pop(name, None)


def _step_name(task: Task) -> str:
    """The task's own sentence, without the role's name that Ansible puts before it."""
    return step_name(task.name or task.action)


def _is_rescued(task: Task) -> bool:
    """Whether a block above the task will rescue its failure."""
    child, parent = task, task._parent
    while parent is not None:
        main = {t._uuid for t in getattr(parent, "block", ())}
        if getattr(parent, "rescue", None) and child._uuid in main:
            return True
        child, parent = parent, parent._parent
    return False
