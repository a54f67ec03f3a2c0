# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take the system's lock for this run and keep it while the run lives: see docs/lock.md.

Options: `state` (acquired, checked, released, info), `name`, `directory`, `kind`, `lease` (seconds), `wait`
(seconds), `what`. Nothing is taken in check mode. What is no error of the task itself comes back as
`refusal` (`kind`, `reason`, `next_step`), so that the gate can record it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812 - Ansible's own name for it
from ansible import context
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.oncall.runbooks.plugins.module_utils import errors as lease_errors
from ansible_collections.oncall.runbooks.plugins.module_utils import marked_processes
from ansible_collections.oncall.runbooks.plugins.module_utils.lease import base, file, protocol
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import procfs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine import current, lock_keeper, lock_remote, lock_status, origin, stopping, sweep
from runbook_engine.errors import EngineError

_MODULE = "oncall.runbooks.lease"
_SOURCES = (lease_errors, base, file, protocol)
_SWEEPERS = (procfs, marked_processes)
_OPTIONS = {
    "state": {"type": "str", "choices": ["acquired", "checked", "released", "info"], "required": True},
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "default": "file"},
    "directory": {"type": "str", "default": "/run/oncall-runbooks"},
    "lease": {"type": "float", "default": 12.0},
    "wait": {"type": "float", "default": 0.0},
    "what": {"type": "str", "default": ""},
}
_STOP_TIMEOUT = 15.0
# Shorter than the lease: what a killed run left is gone before another run can begin.
_SWEEP_GRACE = 8.0


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible ships no types
    """The controller's side of the lock."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what `state` asks for."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(_OPTIONS)
        self._vars = task_vars or {}
        self._host = str(self._task.delegate_to or self._vars.get("inventory_hostname", ""))
        state = options.pop("state")
        if state == "acquired" and self._task.check_mode:
            state = "info"
        try:
            result.update(getattr(self, f"_{state}")(options), host=self._host)
        except EngineError as error:
            result.update(reached=True, refusal=error.as_dict())
        except AnsibleConnectionFailure as error:
            result.update(reached=False, host=self._host, msg=f"{self._host} cannot be reached: {error}")
        return result

    def _info(self, options: dict[str, Any]) -> dict[str, Any]:
        return self._looked_at(self._ask_host("info", options), options)

    def _acquired(self, options: dict[str, Any]) -> dict[str, Any]:
        folder = current.current_run()
        identity = {
            "run": folder.run,
            "operator": origin.operator(),
            "controller": origin.controller(),
            "pid": os.getppid(),
        }
        sent = lock_status.ticks()
        main = lock_keeper.Main(os.getppid())
        taken = self._ask_host("acquired", {**options, **identity})
        result = self._looked_at(taken, options)
        if "refusal" in result or not result["reached"]:
            return result
        request = {**options, **identity, "token": taken["lock"]["token"]}
        lock = self._lock(request, taken["python"], sent + options["lease"], folder.path)
        try:
            if not taken.get("direct"):
                # Once here, so that a way of renewing that does not work is known before anything is changed.
                lock.renew()
            self._start_keeper(lock, main)
        except BaseException:
            self._module("released", request)
            raise
        return result

    def _lock(self, request: dict[str, Any], python: str, until: float, folder: Path) -> lock_keeper.Lock:
        programs = {s: lock_remote.program(_SOURCES, s, request) for s in ("renewed", "released")}
        progress = os.environ.get(current.PROGRESS)
        return lock_keeper.Lock(
            renew=lambda: self._ask(python, programs["renewed"]),
            release=lambda: self._ask(python, programs["released"]),
            lease=request["lease"],
            status=lock_status.LockStatus(
                "held", request["name"], self._host, request["token"], 0, "", until
            ),
            folder=folder,
            progress=Path(progress) if progress else None,
            sweep=self._sweeper(request["run"], python),
        )

    def _sweeper(self, run: str, python: str) -> Callable[[], None]:
        """Return what ends the processes of this run on all its hosts, also when only the keeper is left.

        The lock's own host is reached by the connection that is open to it.
        """
        away = [host for host in self._vars.get("ansible_play_hosts_all") or () if not self._is_local(host)]
        others = [str(host) for host in away if host != self._host]
        manager = self._task.get_variable_manager()
        extra = manager.extra_vars if manager is not None else {}
        where = stopping.place(context.CLIARGS, C.CONFIG_FILE, extra, self._play_context, self._loader)
        program = lock_remote.sweeper(_SWEEPERS, run, _SWEEP_GRACE)

        def end() -> None:
            sweep.local(run, grace=_SWEEP_GRACE)
            if self._host in away:
                self._send(python, program)
            if others:
                sweep.remote(where, run, others, grace=_SWEEP_GRACE)

        return end

    def _is_local(self, host: str) -> bool:
        seen = (self._vars.get("hostvars") or {}).get(host) or {}
        return str(seen.get("ansible_connection")) == "local"

    def _ask_host(self, state: str, options: dict[str, Any]) -> dict[str, Any]:
        """The same as the module, in a tenth of its time, where the host's Python is known already."""
        python = self._known_python()
        if not python:
            return self._module(state, options)
        asked = {**dict.fromkeys(("run", "operator", "controller", "pid")), **options}
        try:
            told = self._send(python, lock_remote.program(_SOURCES, state, asked))
        except OSError:
            # That Python does not do: the module says why in its own words, or does better.
            return self._module(state, options)
        return {**told, "failed": "error" in told, "python": python, "direct": True}

    def _known_python(self) -> str:
        """What Ansible discovered in an earlier step, or the inventory says; "" when nobody knows yet."""
        seen = (self._vars.get("ansible_delegated_vars") or {}).get(self._host) or self._vars
        named = str(self._templar.template(seen.get("ansible_python_interpreter") or ""))
        if named and not named.startswith("auto"):
            return named
        return str((seen.get("ansible_facts") or {}).get("discovered_interpreter_python") or "")

    def _send(self, python: str, program: bytes) -> dict[str, Any]:
        done = self._low_level_execute_command(f"{shlex.quote(python)} -I -S -B -", in_data=program)
        return lock_remote.answer(done["stdout"], done["stderr"])

    def _ask(self, python: str, program: bytes) -> None:
        told = self._send(python, program)
        if "error" not in told:
            return
        if told["error"]["kind"] == base.LockLostError.kind:
            raise lock_keeper.LockLostError(told["error"]["got"])
        raise OSError(told["error"]["got"])

    def _start_keeper(self, lock: lock_keeper.Lock, main: lock_keeper.Main) -> None:
        held = lock.status

        def prepare() -> lock_keeper.Lock:
            # Messages of this process have no reader: Ansible's queue is closed here.
            Display()._final_q = None
            lock.status = _with_keeper(held, os.getpid())
            return lock

        lock_file = getattr(self._play_context, "connection_lockfd", None)
        pid = lock_keeper.start(prepare, main, {lock_file} if lock_file else set())
        lock_status.write_status(lock.folder, _with_keeper(held, pid))

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        lost = lock_status.why_lost(current.current_run().path)
        if lost is None:
            return {"changed": False, "reached": True}
        next_step = (
            f"look who holds the lock (runbook lock show {options['name']}) and what this run changed before "
            "it stopped; then resume it or undo it"
        )
        refusal = {
            "kind": "lock",
            "reason": f"This run may change nothing more: {lost}.",
            "next_step": next_step,
        }
        return {"changed": False, "reached": True, "refusal": refusal}

    def _released(self, options: dict[str, Any]) -> dict[str, Any]:
        folder = current.current_run()
        status = lock_status.read_status(folder.path)
        if status is None:
            return {"changed": False, "reached": True}
        ended = lock_keeper.stop(status, _STOP_TIMEOUT)
        now = lock_status.read_status(folder.path)
        if ended and now is not None and now.state == "released":
            return {"changed": False, "reached": True}
        told = self._module("released", {**options, "run": folder.run, "token": status.token})
        result = self._looked_at(told, options)
        result["changed"] = False
        if "refusal" not in result and not result.get("failed"):
            lock_status.write_status(folder.path, replace(status, state="released"))
        if not ended:
            result.update(failed=True, msg=f"The keeper of the lock (process {status.keeper}) did not end.")
        return result

    def _module(self, state: str, options: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args={**options, "state": state}, task_vars=self._vars
        )
        return result

    def _looked_at(self, told: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """Return what the module told as the result of this task: somebody else's lock is a refusal."""
        if not told.get("failed"):
            return {"changed": told["changed"], "reached": True, "lock": told["lock"], "diff": told["diff"]}
        error = told.get("error")
        if not error:
            return {
                "reached": True,
                "failed": True,
                "msg": told.get("msg"),
                "exception": told.get("exception"),
            }
        # Nobody holds it, but it cannot be had here: that is another refusal than to have to wait.
        kind, next_step = "lock_unusable", error["next_step"]
        if error["kind"] == base.LockHeldError.kind:
            kind, name = "lock", options["name"]
            next_step = (
                f"wait until that run has ended (runbook lock show {name}); "
                f"if it is certainly dead, wait for the end of its lease or runbook lock break {name}"
            )
        reason = f"The lock {options['name']} on {self._host} could not be taken: {error['got']}."
        refusal = {"kind": kind, "reason": reason, "next_step": next_step, "error": error}
        return {"changed": False, "reached": True, "refusal": refusal}


def _with_keeper(status: lock_status.LockStatus, pid: int) -> lock_status.LockStatus:
    started = lock_status.process_started(pid)
    return lock_status.LockStatus(**{**vars(status), "keeper": pid, "keeper_started": started})
