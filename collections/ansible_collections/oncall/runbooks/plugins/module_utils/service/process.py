# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A PostgreSQL server that no container engine or init system looks after: found by its data directory."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import os
import signal
from typing import Callable, Dict, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import Completed, run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.procfs import link_target, process_info
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub_people
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.tail import tail_file
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import (
    LogText,
    Provider,
    ServiceError,
    ServiceState,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.environment import environment_of

_LAST_WORDS = 3
_INHERITED = ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH", "TMPDIR")


def _service_environment() -> Dict[str, str]:
    """What a server may inherit: it outlives us, so nothing that belongs to this run or holds a secret."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


class ProcessProvider(Provider):
    """Reads postmaster.pid, and drives pg_ctl as the user that owns the data directory."""

    kind = "process"
    usual_downtime = 2.0

    def __init__(self, data_dir: str, *, timeout: float, log_path: str = "", bin_dir: str = "") -> None:
        super().__init__(data_dir, timeout=timeout)
        self.data_dir, self.log_path, self.bin_dir = data_dir, log_path, bin_dir

    @property
    def has_logs(self) -> bool:
        return bool(self._log_file())

    def state(self) -> ServiceState:
        pid = self._pid()
        if pid is None:
            exists = os.path.isdir(self.data_dir)
            word = "not running (no postmaster.pid)" if exists else "there is no such data directory"
            return ServiceState(self.kind, self.name, exists=exists, running=False, word=word)
        process = process_info(pid)
        if process is None or not process.name.startswith(("postgres", "postmaster")):
            word = "dead (postmaster.pid names process %d, which is gone)" % pid
            return ServiceState(self.kind, self.name, exists=True, running=False, word=word)
        return ServiceState(
            self.kind,
            self.name,
            exists=True,
            running=True,
            word="process %d in state %s" % (pid, process.state),
            frozen=process.frozen,
            pid=pid,
            uptime=process.age,
        )

    def logs(self, *, hours: float, max_bytes: int) -> LogText:  # noqa: ARG002 - the shared signature
        path = self._log_file()
        if not path:
            raise UsageError(
                "read the log of the server in %s" % self.data_dir,
                got="its standard error is no file, and no log_path was given",
                next_step="set log_path to the server's log file",
            )
        return LogText(tail_file(path, max_bytes), path)

    def thaw(self, state: ServiceState) -> None:
        os.kill(state.pid, signal.SIGCONT)

    def restart(self, *, stop_timeout: float) -> str:
        log = self._log_file() or os.devnull
        pg_ctl = self._program("pg_ctl")
        state = self.state()
        if state.running:
            self._stop(pg_ctl, state.pid, stop_timeout)
        self._pg_ctl(
            [pg_ctl, "start", "-D", self.data_dir, "-w", "-t", "60", "-l", log, *self._options()], 70
        )
        return "pg_ctl stop and start of %s" % self.data_dir

    def recreate(self, *, stop_timeout: float) -> str:
        # The server reads its configuration at every start.
        return self.restart(stop_timeout=stop_timeout)

    def read_environment(self) -> Dict[str, str]:
        return environment_of(self.state())

    def _stop(self, pg_ctl: str, pid: int, stop_timeout: float) -> None:
        # A frozen server hears no request to stop; continuing one that runs does nothing.
        os.kill(pid, signal.SIGCONT)
        stop = [pg_ctl, "stop", "-D", self.data_dir, "-w"]
        done = self._run([*stop, "-m", "fast", "-t", "%d" % stop_timeout], stop_timeout + 10)
        if done.rc != 0 and process_info(pid) is not None:
            # Immediate keeps every committed transaction: the start replays the WAL, as after a power cut.
            self._pg_ctl([*stop, "-m", "immediate", "-t", "30"], 40)

    def _pid(self) -> Optional[int]:
        try:
            with open(os.path.join(self.data_dir, "postmaster.pid"), encoding="utf-8") as handle:
                return int(handle.readline())
        except FileNotFoundError:
            return None
        except ValueError:
            return None
        except PermissionError as exc:
            raise DeniedError(
                "read postmaster.pid", on=self.data_dir, got=str(exc), next_step="become root on this host"
            ) from None

    def _log_file(self) -> str:
        if self.log_path:
            return self.log_path
        pid = self._pid()
        target = link_target(pid, "fd/2") if pid else ""
        return target if target and os.path.isfile(target) else ""

    def _command_line(self) -> List[str]:
        """What the last start was: postmaster.opts holds the program and its quoted arguments."""
        try:
            with open(os.path.join(self.data_dir, "postmaster.opts"), encoding="utf-8") as handle:
                line = handle.readline().rstrip("\n")
        except OSError:
            return []
        program, _separator, rest = line.partition(' "')
        return [program] + (rest[:-1].split('" "') if rest else [])

    def _options(self) -> List[str]:
        # `pg_ctl restart` reuses these options by itself, but only when it also did the stop.
        words = self._command_line()[1:]
        kept = [w for i, w in enumerate(words) if w != "-D" and (i == 0 or words[i - 1] != "-D")]
        quoted = " ".join("'%s'" % w.replace("'", "'\\''") for w in kept)
        return ["-o", quoted] if kept else []

    def _program(self, name: str) -> str:
        folder = self.bin_dir
        if not folder:
            pid = self._pid()
            running = link_target(pid, "exe") if pid else ""
            started = (self._command_line() or [""])[0]
            folder = os.path.dirname(running or started)
        return os.path.join(folder, name) if folder else name

    def _pg_ctl(self, argv: List[str], timeout: float) -> None:
        done = self._run(argv, timeout)
        if done.rc != 0:
            raise ServiceError(
                "%s the server in %s" % (argv[1], self.data_dir),
                got=" ".join([(done.out + done.err).strip()[-400:], self._last_words()]).strip(),
                next_step="read the server's log%s" % (": %s" % self._log_file() if self._log_file() else ""),
            )

    def _last_words(self) -> str:
        """Return the last lines of the server's log: pg_ctl says that it did not start, they say why."""
        path, lines = self._log_file(), []  # type: Tuple[str, List[str]]
        if path:
            with contextlib.suppress(OncallError):
                lines = [line.strip() for line in scrub_people(tail_file(path, 4096)).splitlines()]
        last = [line for line in lines if line][-_LAST_WORDS:]
        return "It logged: %s" % " / ".join(last) if last else ""

    def _run(self, argv: List[str], timeout: float) -> Completed:
        prefix, prepare = self._as_owner()
        return run(prefix + argv, timeout=timeout, prepare=prepare, environment=_service_environment())

    def _as_owner(self) -> Tuple[List[str], Optional[Callable[[], None]]]:
        """How to run a program as the owner of the data directory: PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return [], None
        owner = os.stat(self.data_dir)
        if owner.st_uid == 0:
            # A cluster that runs in a user namespace of its own: its files look as if they were root's.
            return ["unshare", "--user"], None

        def become_owner() -> None:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)

        return [], become_owner
