# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The detached process that restores or backs up: it outlives the module call, but not its controller."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import os
import signal
import threading
import time
import traceback
from typing import Any, Callable, Dict, Optional, Protocol

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.control import (
    JobFolder,
    UrlBook,
    Watcher,
    scrub,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_copy import DatabaseCopy
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_restore import Restore, Source
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.job_source import tools_of
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress

_END_WITHIN = 22.0  # seconds from an abort to its end: the controller waits for 30
_HEAR_EVERY = 0.02  # seconds between two looks for a sign of life of the controller
_COLLECT_WITHIN = 3.0  # seconds for the controller to see a result that was written by force

MakeSource = Callable[[UrlBook, Progress], Source]


class Work(Protocol):
    """What a job does; `stop` may be called from another thread at any time.

    what: what it does, as its errors say it ("restore roost_prod"). again: what holds after an abort, and
    what to do next. in_switch: an abort waits now. cleaning: a clean-up that began is not interrupted.
    left_behind: what a failure could not clean up, for the operator.
    """

    what: str
    again: str
    in_switch: bool
    cleaning: bool
    left_behind: str

    def run(self) -> Dict[str, Any]:
        """Do it and return the module's result; raises OncallError."""

    def stop(self) -> None:
        """Cancel everything that works for it."""

    def forbid_switch(self) -> bool:
        """From now on no switch begins; False when one has begun, which takes a fraction of a second."""

    def left_unchanged(self) -> bool:
        """Whether what it is about is what it was."""


# Its third argument returns once the controller is heard, which still wants this.
MakeWork = Callable[[UrlBook, Progress, Callable[[], None]], Work]


def restoring(options: RestoreOptions, make_source: MakeSource) -> MakeWork:
    """Return what makes the work of a restore once the job has its process."""

    def make(urls: UrlBook, progress: Progress, hear: Callable[[], None]) -> Work:
        safety = DatabaseCopy(options, urls, progress, tools_of(options))
        return Restore(options, make_source(urls, progress), progress, safety, hear)

    return make


class Aborted(BaseException):
    """Raised in the main thread to stop the job; not an Exception, so that nothing swallows it."""


class Job:
    """Does one work in this process and writes its result into the folder."""

    def __init__(self, options: RestoreOptions, folder: JobFolder, make_work: MakeWork) -> None:
        self._options, self._folder = options, folder
        self._urls, self._progress = UrlBook(), Progress()
        self._work = make_work(self._urls, self._progress, self._hear_controller)
        self._reason, self._kind = "", "aborted"
        self._ended = False

    def run(self) -> Dict[str, Any]:
        """Work; return the result that was also written. Never raises."""
        wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._interrupted)
        watcher = Watcher(
            self._folder,
            self._urls,
            self._progress.snapshot,
            self._abort,
            lease=self._options.lease,
            timeout=self._options.timeout,
            wake=wake,
        )
        watcher.start()
        result = self._guarded()
        self._ended = True
        watcher.stop()
        self._folder.write("result.json", result)
        self._folder.wake()
        return result

    def _guarded(self) -> Dict[str, Any]:
        try:
            return self._work.run()
        except Aborted:
            return self._failure(self._aborted())
        except OncallError as error:
            return self._failure(self._aborted() if self._reason else error)
        except pg.Error as error:
            return self._failure(database_error(error))
        except Exception as error:  # pylint: disable=duplicate-except  # pg.Error stands for it without psycopg2
            # A defect of ours: say where, so that it can be mended; no value of a variable is in it.
            where = traceback.extract_tb(error.__traceback__)[-1]
            got = "%s: %s (%s:%s)" % (
                type(error).__name__,
                error,
                os.path.basename(where.filename),
                where.lineno,
            )
            return self._failure(
                OncallError(
                    self._work.what,
                    got=got,
                    next_step="see left_unchanged in the result, and report this as a defect",
                    kind="defect",
                )
            )

    def _failure(self, error: OncallError) -> Dict[str, Any]:
        said = {name: scrub(str(text)) for name, text in error.as_dict().items()}
        left = [scrub(self._work.left_behind)] if self._work.left_behind else []
        return {
            "warnings": left,
            "failed": True,
            "changed": False,
            "left_unchanged": self._work.left_unchanged(),
            "msg": scrub(error.message),
            "error": said,
            "phase": self._progress.phase,
            "durations_s": dict(self._progress.durations),
        }

    def _aborted(self) -> OncallError:
        return OncallError(
            self._work.what,
            on="phase %s" % self._progress.phase,
            got=self._reason or "it was stopped",
            next_step=self._work.again,
            kind=self._kind,
        )

    def _abort(self, reason: str, kind: str = "aborted") -> None:
        """Called by the watcher: end what blocks, then interrupt the main thread."""
        if self._ended or not self._work.forbid_switch():
            return
        self._reason, self._kind = reason, kind
        threading.Thread(target=self._insist, name="oncall-insist", daemon=True).start()
        # The signal first: what stop() wakes has to find it, not an error that would begin the clean-up.
        os.kill(os.getpid(), signal.SIGTERM)
        self._work.stop()

    def _hear_controller(self) -> None:
        """Wait for a sign of life: what nobody waits for any more must not be put in service.

        Without one the watcher ends this by the lease.
        """
        beat = self._folder.heartbeat()
        while self._folder.heartbeat() in (beat, 0):  # 0: the folder was taken away
            self._folder.wake()  # else it looks up to a second later
            time.sleep(_HEAR_EVERY)

    def _insist(self) -> None:
        """End this process by force when an abort did not: a call that hangs hears no signal."""
        time.sleep(_END_WITHIN)
        if self._ended or self._work.in_switch:
            return
        self._work.left_behind = "what was made could not be removed; the next run removes it"
        self._folder.write("result.json", self._failure(self._aborted()))
        time.sleep(_COLLECT_WITHIN)
        self._folder.remove()
        os._exit(1)

    def _interrupted(self, _number: int, _frame: Optional[Any]) -> None:
        # The first signal only wakes the watcher, which cancels what blocks and sends the one that counts.
        if self._reason and not self._ended and not self._work.cleaning:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise Aborted


def database_error(error: Any) -> OncallError:
    """Return the domain error for what the server said outside the load."""
    got = " ".join(str(error).split())
    kind = "server_gone" if not error.pgcode or error.pgcode.startswith(("08", "57P")) else "database"
    return OncallError(
        "work with the server",
        got=got,
        next_step="see whether the server runs and read the end of its log, then run it again",
        kind=kind,
    )


def detach(options: RestoreOptions, make_work: MakeWork) -> Dict[str, Any]:
    """Start the job in a session of its own and return `{"folder", "pid"}` at once.

    Everything the job needs is imported by now: the archive that this code came in is gone when the module
    call ends.
    """
    folder = JobFolder.create()
    child = os.fork()
    if child == 0:
        _become_job(options, folder, make_work)
    os.waitpid(child, 0)
    with open(folder.file("pid")) as stream:
        pid = int(stream.read())
    return {"folder": folder.path, "pid": pid}


def _become_job(options: RestoreOptions, folder: JobFolder, make_work: MakeWork) -> None:
    """In the child: leave the module's session, terminal and pipes, fork again, work, and never return."""
    try:
        os.setsid()
        pid = os.fork()
        if pid:
            with open(folder.file("pid"), "w") as stream:
                stream.write(str(pid))
            os._exit(0)
        _leave_pipes()
        _leave_environment()
        os.chdir("/")
        Job(options, folder, make_work).run()
        _await_collection(folder, options.lease)
    finally:
        folder.remove()
        os._exit(0)


def _leave_pipes() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, 1024)


def _leave_environment() -> None:
    """Keep what programs need to run; a task's `environment` may hold secrets, which children would show."""
    kept = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "TZ")
    for name in list(os.environ):
        if name not in kept and not name.startswith(("LC_", "PG", "DOCKER_")):
            del os.environ[name]


def _await_collection(folder: JobFolder, lease: float) -> None:
    """Keep the result until the controller has taken the folder away, or is gone itself."""
    beat, since = folder.heartbeat(), time.monotonic()
    while os.path.exists(folder.file("result.json")) and time.monotonic() - since < lease:
        folder.wake()  # it may have begun to wait the moment after it looked
        time.sleep(0.05)
        with contextlib.suppress(OSError):
            if folder.heartbeat() != beat:
                beat, since = folder.heartbeat(), time.monotonic()
