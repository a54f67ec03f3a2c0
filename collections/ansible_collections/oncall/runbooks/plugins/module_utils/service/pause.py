# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pause a process that is no service's, with all that it has started, and let it go on again."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import hashlib
import os
import signal
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    DeniedError,
    OncallError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.procfs import STOPPED_STATES
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.samples import (
    Process,
    control_group,
    not_for_judgement,
    read_process,
    tree,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider

# Whoever pauses one of these is locked out, or has stopped more than one job.
_NEVER = ("systemd", "init", "sshd", "dockerd", "containerd", "containerd-shim", "supervisord", "dbus-daemon")
_PATIENCE_S = 2.0
_POLL_S = 0.02

Processes = Mapping[int, Process]


def pause(
    params: Mapping[str, Any], services: Iterable[Tuple[str, Provider]], *, check_mode: bool
) -> Dict[str, Any]:
    """Pause the process `pid` and what it has started, and return the module's result; predict in check mode.

    `program` has to be the name that it still has, so that a number which another process got meanwhile is
    refused. So is what belongs to one of `services`, to the kernel, or to this run. A pause keeps all that
    the process holds: its files, its memory, its locks.
    """
    processes = read_all()
    one = _found(params, processes)
    _refuse(one, services, processes)
    members = sorted(tree(processes, one.pid))
    running = [pid for pid in members if processes[pid].state not in STOPPED_STATES]
    result = _predicted(one, members, running, processes)
    if running and not check_mode:
        result["evidence"] = [_evidence(members, processes)]
        try:
            _signal(running, processes, signal.SIGSTOP)
            _wait(running, processes, stopped=True)
        except OncallError as exc:
            exc.changed, exc.undo = True, result["undo"]
            raise
    return result


def resume(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Let the processes go on that a pause has stopped, each by its number and its start."""
    processes = read_all()
    wanted = [(int(pid), int(started)) for pid, started in params["processes"]]
    there = [pid for pid, started in wanted if pid in processes and processes[pid].started == started]
    stopped = [pid for pid in there if processes[pid].state in STOPPED_STATES]
    if stopped and not check_mode:
        try:
            _signal(stopped, processes, signal.SIGCONT)
            _wait(stopped, processes, stopped=False)
        except OncallError as exc:
            exc.changed = True
            raise
    gone = len(wanted) - len(there)
    return {
        "changed": bool(stopped),
        "prediction": {
            "summary": "%s on%s"
            % (
                plural(len(stopped), "process") + (" goes" if len(stopped) == 1 else "es go"),
                "; %d of those that were paused are gone" % gone if gone else "",
            ),
            "data_loss": "none",
        },
        "diff": {
            "before": "".join("%d paused\n" % pid for pid in stopped),
            "after": "".join("%d running\n" % pid for pid in stopped),
        },
    }


def read_all(root: str = "/proc") -> Dict[int, Process]:
    """Return every process that lives."""
    found = (read_process(int(name), root) for name in os.listdir(root) if name.isdigit())
    return {one.pid: one for one in found if one is not None}


def _found(params: Mapping[str, Any], processes: Processes) -> Process:
    pid, program = params["pid"], params["program"]
    one = processes.get(pid)
    if one is not None and one.name == program:
        return one
    got = "the number belongs to %s" % one.name if one else "there is no such process"
    raise ConflictError(
        "pause process %d" % pid,
        on=program,
        got=got,
        next_step="diagnose again, and take number and program from the finding process_usage",
        kind="another_process",
    )


def _refuse(one: Process, services: Iterable[Tuple[str, Provider]], processes: Processes) -> None:
    if one.name in _NEVER or one.pid in not_for_judgement(processes):
        raise _refused(one, "the host, or this run itself, needs it", "choose another process")
    for name, provider in services:
        try:
            state = provider.state()
        except OncallError as exc:
            # Whether it is that service's cannot be known then, and so it is not touched.
            got = "what belongs to the service %s is not known: %s" % (name, exc.got)
            raise _refused(one, got, "look at that service") from None
        group = control_group(state.pid) if state.pid else ""
        if one.pid in tree(processes, state.pid) or (group and control_group(one.pid) == group):
            raise _refused(
                one,
                "it belongs to the service %s" % name,
                "restart that service, or cancel its query, instead",
            )


def _refused(one: Process, got: str, next_step: str) -> ConflictError:
    what = "pause process %d" % one.pid
    return ConflictError(what, on=one.name, got=got, next_step=next_step, kind="not_to_be_paused")


def _predicted(one: Process, members: List[int], running: List[int], processes: Processes) -> Dict[str, Any]:
    result: Dict[str, Any] = {
        "changed": bool(running),
        "processes": [{"pid": pid, "program": processes[pid].name} for pid in members],
        "evidence": [],
        "prediction": {
            "summary": "%s (process %d) pauses with %s that it has started"
            % (one.name, one.pid, plural(len(members) - 1, "other"))
            if running
            else "%s (process %d) is paused already" % (one.name, one.pid),
            "data_loss": "none; it keeps all that it holds, also locks",
        },
        "diff": {
            "before": "".join("%d %s running\n" % (pid, processes[pid].name) for pid in running),
            "after": "".join("%d %s paused\n" % (pid, processes[pid].name) for pid in running),
        },
    }
    if running:
        result["undo"] = {
            "summary": "%s (process %d) goes on where it was." % (one.name, one.pid),
            "reversible": True,
            "role": "oncall.runbooks.host",
            "entry_point": "pause_process_undo",
            "args": {"processes": [[pid, processes[pid].started] for pid in running]},
        }
    return result


def _evidence(members: List[int], processes: Processes) -> Dict[str, Any]:
    """What each of them is, as it was called; what looks like a secret is masked."""
    lines = []
    for pid in members:
        with contextlib.suppress(OSError):
            with open("/proc/%d/cmdline" % pid, "rb") as handle:
                called = handle.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            where = os.readlink("/proc/%d/cwd" % pid)
            lines.append("%d (of %d) in %s: %s" % (pid, processes[pid].parent, where, scrub(called)))
    text = "\n".join(lines) + "\n"
    name = "process-%d.txt" % members[0]
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {
        "name": name,
        "sha256": digest,
        "content": text,
        "summary": "how the paused processes were called",
    }


def _signal(pids: List[int], processes: Processes, signum: int) -> None:
    for pid in pids:
        now = read_process(pid)
        if now is None or now.started != processes[pid].started:
            continue
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue
        except PermissionError:
            raise DeniedError(
                "send a signal to process %d" % pid,
                on=processes[pid].name,
                got="this user may not",
                next_step="become root, or its user",
            ) from None


def _wait(
    pids: List[int], processes: Processes, *, stopped: bool, clock: Callable[[], float] = time.monotonic
) -> None:
    deadline, left = clock() + _PATIENCE_S, set(pids)
    while left:
        left = {pid for pid in left if _differs(pid, processes[pid].started, stopped)}
        if left and clock() > deadline:
            raise VerificationError(
                "%s process %s" % ("pause" if stopped else "continue", _listed(left)),
                got="the signal was sent, and after %g s nothing has changed" % _PATIENCE_S,
                next_step="it may hang in the kernel: see its state with ps",
            )
        time.sleep(_POLL_S if left else 0)


def _differs(pid: int, started: int, stopped: bool) -> bool:
    now = read_process(pid)
    return now is not None and now.started == started and (now.state in STOPPED_STATES) != stopped


def _listed(pids: Set[int]) -> str:
    return ", ".join(map(str, sorted(pids)))
