# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Driving a job on a target through Ansible's open connection: one short shell command per look."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import json
import shlex
import signal
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UnreachableError
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile

Execute = Callable[..., Dict[str, Any]]
# Takes what the job wants and its state, returns the answers by what was wanted: URLs, mostly.
Sign = Callable[[Sequence[str], Dict[str, Any]], Dict[str, str]]

_WAIT = (
    1  # seconds (whole) that a look waits on the target for the job's end: each look costs CPU on both sides
)
_LOOK_EVERY = 0.3  # seconds between two looks at least, also where the target has no program to wait with
_GIVE_UP = 60.0  # seconds without an answer of the target
_ABORT_WITHIN = 30.0  # seconds a job has to clean up after an abort
_GRACE = 5.0  # seconds over the time limit, which the job itself watches: its answer says more than ours
_END = "--oncall-end--"


class _Interrupted(BaseException):
    """The controller was told to stop."""


class Driver:
    """Follows one job until its result is there; renews its URLs; passes an interrupt on to it."""

    def __init__(
        self,
        execute: Execute,
        job: Dict[str, Any],
        sign: Sign,
        *,
        renew_every: float,
        progress: ProgressFile,
        what: str = "restore",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._what = what
        self._execute, self._sign, self._progress = execute, sign, progress
        self._folder, self._pid = str(job["folder"]), int(job["pid"])
        self._renew_every, self._clock, self._sleep = renew_every, clock, sleep
        self._signed_at: Optional[float] = None

    def follow(self, timeout: float = 0) -> Dict[str, Any]:
        """Return the job's result. An interrupt aborts the job, waits for its clean-up and goes on up.

        A job that was told to stop while it switched may have ended well: then that is the result.
        """
        with _signals():
            try:
                result = self._follow(timeout)
            except OncallError as error:
                ended = self._abort(error.message)
                if ended is None:
                    raise
                result = ended
            except BaseException as error:
                # An interrupt, or the task's time limit. A lost connection leaves the job to its lease.
                if not isinstance(error, Exception):
                    self._abort("the run was stopped")
                raise
        self._remove()
        return result

    def _follow(self, timeout: float) -> Dict[str, Any]:
        began = answered = self._clock()
        self._send_urls({})
        while True:
            looked = self._clock()
            look = self._look()
            now = self._clock()
            if look is not None:
                answered = now
                if "result" in look:
                    if look.get("progress"):
                        # A short restore ends within the first look: this is all there is to show.
                        self._progress.append(look["progress"])
                    return dict(look["result"])
                self._take(look, now)
            elif now - answered > _GIVE_UP:
                raise UnreachableError(
                    "follow the %s" % self._what,
                    got="the target did not answer for %g s" % _GIVE_UP,
                    next_step="the job there ends itself and cleans up; see whether the host can be reached",
                )
            if timeout and now - began > timeout + _GRACE:
                raise OncallError(
                    "end the %s within %g s" % (self._what, timeout),
                    got="it was not done, and the job did not end by itself",
                    next_step="see left_unchanged in the result, then run it again with a larger timeout",
                    kind="timeout",
                )
            self._sleep(max(0.0, _LOOK_EVERY - (self._clock() - looked)))

    def _take(self, look: Dict[str, Any], now: float) -> None:
        if not look["alive"]:
            raise OncallError(
                "follow the %s" % self._what,
                on="process %d" % self._pid,
                got="it was killed before it could say why",
                next_step="run the %s again: it removes what is left, and takes up what is whole"
                % self._what,
                kind="job_killed",
            )
        state = look.get("progress") or {}
        self._progress.append(state)
        due = self._signed_at is None or now - self._signed_at > self._renew_every
        if due or state.get("wants"):
            self._send_urls(state)

    def _shell(self, command: str, data: Optional[bytes] = None) -> Optional[str]:
        done = self._execute(command, in_data=data, executable="/bin/sh")
        return str(done.get("stdout", "")) if done.get("rc") == 0 else None

    def _look(self, *, wanted: bool = True) -> Optional[Dict[str, Any]]:
        """Look at the job; one that is not `wanted` any more gets no sign of life."""
        folder = shlex.quote(self._folder)
        beat = "touch heartbeat; " if wanted else ""
        text = self._shell(
            "cd %s 2>/dev/null || { echo gone; echo %s; exit 0; }; %s"
            "[ -e result.json ] || ! kill -0 %d 2>/dev/null || timeout %d cat ended >/dev/null 2>&1; "
            "kill -0 %d 2>/dev/null && echo alive || echo dead; "
            "echo progress; cat progress.json 2>/dev/null; echo; "
            "[ -e result.json ] && { echo result; cat result.json; echo; }; echo %s"
            % (folder, _END, beat, self._pid, _WAIT, self._pid, _END)
        )
        return _parse(text) if text is not None else None

    def _send_urls(self, state: Dict[str, Any]) -> None:
        """Send fresh URLs through the FIFO: a shell's standard input is neither file nor argument."""
        message = (json.dumps({"urls": self._sign(state.get("wants") or (), state)}) + "\n").encode()
        if self._send(message):
            self._signed_at = self._clock()

    def _send(self, message: bytes) -> bool:
        fifo = shlex.quote(self._folder + "/control")
        # Opened for both directions it never blocks, even when the job died this moment.
        command = "kill -0 %d && [ -p %s ] && exec 3<>%s && cat >&3" % (self._pid, fifo, fifo)
        return self._shell(command, message) is not None

    def _abort(self, reason: str) -> Optional[Dict[str, Any]]:
        """Tell the job to stop and wait until it is gone; its lease ends it where that fails.

        Returns the job's own result when it left one.
        """
        result = None
        word = (json.dumps({"command": "abort", "reason": reason}) + "\n").encode()
        deadline = self._clock() + _ABORT_WITHIN
        while self._clock() < deadline:
            self._send(word)  # each time: a job that only just begins does not listen yet
            look = self._look(wanted=False)
            if look is not None and ("result" in look or not look["alive"]):
                result = look.get("result")
                break
            self._sleep(_LOOK_EVERY)
        self._remove()
        return result

    def _remove(self) -> None:
        self._shell("rm -rf -- %s" % shlex.quote(self._folder))


def _parse(text: str) -> Optional[Dict[str, Any]]:
    """Return what one look saw; None when the answer is not whole."""
    lines = text.replace("\r\n", "\n").split("\n")  # over SSH it comes through a terminal
    while lines and lines[0].strip() not in ("alive", "dead", "gone"):
        lines.pop(0)  # a login message
    if _END not in lines:
        return None
    alive = lines[0].strip() == "alive"
    seen: Dict[str, Any] = {"alive": alive}
    part = ""
    said: Dict[str, List[str]] = {}
    for line in lines[1 : lines.index(_END)]:
        if line.strip() in ("progress", "result") and line.strip() not in said:
            part = line.strip()
            said[part] = []
        elif part:
            said[part].append(line)
    for part, content in said.items():
        # Half a file is as good as none: the next look sees the whole.
        with contextlib.suppress(ValueError):
            seen[part] = json.loads("\n".join(content) or "null")
    return seen


class _signals:  # noqa: N801 - used like contextlib's own
    """Within it SIGTERM and SIGINT interrupt, once; outside the main thread nothing can be changed.

    Ansible's own handlers end its worker on the spot, which would leave the job to its lease. It also sends
    more than one of them: those after the first must not break off the clean-up.
    """

    _NUMBERS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        self._raised = False
        self._before = {n: signal.signal(n, self._raise) for n in self._NUMBERS} if main else {}

    def __exit__(self, *_details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _raise(self, _number: int, _frame: object) -> None:
        if not self._raised:
            self._raised = True
            raise _Interrupted
