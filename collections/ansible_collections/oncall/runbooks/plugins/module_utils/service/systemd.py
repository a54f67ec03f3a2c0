# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service that is a unit of systemd."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UnreachableError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import Completed, run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.procfs import process_info
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import (
    LogText,
    Provider,
    ServiceError,
    ServiceState,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.environment import environment_of

_PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,NRestarts,MainPID,ExecMainStatus,"
    "ActiveEnterTimestampMonotonic,Type"
)


class SystemdProvider(Provider):
    """Asks systemctl and journalctl."""

    kind = "systemd"

    def state(self) -> ServiceState:
        done = run(["systemctl", "show", self.name, "--property", _PROPERTIES], timeout=self.timeout)
        if done.rc != 0:
            raise self._refused("ask systemd for unit %s" % self.name, done)
        return self._parse(dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line))

    def _parse(self, shown: Dict[str, str]) -> ServiceState:
        active, sub = shown.get("ActiveState", ""), shown.get("SubState", "")
        running = active in ("active", "reloading")
        pid = int(shown.get("MainPID") or 0)
        process = process_info(pid) if pid else None
        result = shown.get("Result", "")
        return ServiceState(
            self.kind,
            self.name,
            exists=shown.get("LoadState") not in ("not-found", "", None),
            running=running,
            word="%s (%s)" % (active, sub) if shown.get("LoadState") != "not-found" else "does not exist",
            healthy=False if active == "failed" else None,
            frozen=bool(process and process.frozen),
            pid=pid,
            uptime=_uptime(shown.get("ActiveEnterTimestampMonotonic")) if running else None,
            restarts=int(shown.get("NRestarts") or 0),
            restarting=sub == "auto-restart",
            exit_code=int(shown.get("ExecMainStatus") or 0),
            oom_killed=result == "oom-kill",
            note=_note(shown, result),
        )

    def logs(self, *, hours: float, max_bytes: int) -> LogText:
        since = "-%dmin" % max(1, round(hours * 60))
        command = ["journalctl", "--unit", self.name, "--since", since, "--no-pager", "--output", "short-iso"]
        done = run([*command, "--lines", "20000"], timeout=self.timeout, max_output=max_bytes)
        if done.rc != 0:
            raise self._refused("read the journal of unit %s" % self.name, done)
        return LogText(done.out, "journal of %s" % self.name)

    def thaw(self, state: ServiceState) -> None:  # noqa: ARG002 - the shared signature
        self._must(["kill", "--signal", "CONT", self.name], "continue unit %s" % self.name)

    def stop(self, *, stop_timeout: float) -> None:
        self._must(["stop", self.name], "stop unit %s" % self.name, timeout=stop_timeout + 60)

    def restart(self, *, stop_timeout: float) -> str:
        self._must(["restart", self.name], "restart unit %s" % self.name, timeout=stop_timeout + 60)
        return "systemctl restart %s" % self.name

    def recreate(self, *, stop_timeout: float) -> str:
        # systemd reads an EnvironmentFile at each start; only a changed unit file has to be loaded first.
        self._must(["daemon-reload"], "load changed unit files")
        return self.restart(stop_timeout=stop_timeout)

    def read_environment(self) -> Dict[str, str]:
        return environment_of(self.state())

    def _must(self, arguments: List[str], what: str, timeout: Optional[float] = None) -> None:
        done = run(["systemctl", *arguments], timeout=timeout or self.timeout)
        if done.rc != 0:
            raise self._refused(what, done)

    def _refused(self, what: str, done: Completed) -> OncallError:
        got = (done.err or done.out).strip()[-400:]
        low = got.lower()
        if "access denied" in low or "authentication" in low or "permission" in low:
            return DeniedError(what, got=got, next_step="become root on this host")
        if "has not been booted with systemd" in low or "failed to connect to bus" in low:
            return UnreachableError(
                what,
                got=got,
                next_step="this host is not run by systemd: set the runtime's kind to docker or process",
            )
        return ServiceError(
            what,
            got=got or "exit code %d" % done.rc,
            next_step="read: journalctl --unit %s --lines 50" % self.name,
        )


def _note(shown: Dict[str, str], result: str) -> str:
    if shown.get("Type") == "oneshot" and shown.get("SubState") == "exited":
        # Debian's postgresql.service is such a wrapper: it is "active" whatever the cluster does.
        return "a wrapper without a process of its own: name the real unit, such as postgresql@15-main"
    return "" if result in ("", "success") else "result %s" % result


def _uptime(microseconds: Optional[str]) -> Optional[float]:
    if not microseconds or microseconds == "0":
        return None
    return max(0.0, time.clock_gettime(time.CLOCK_MONOTONIC) - int(microseconds) / 1e6)
