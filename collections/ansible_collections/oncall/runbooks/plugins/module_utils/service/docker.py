# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service that is a container of Docker (or of an engine with the same command line)."""

from __future__ import annotations

__metaclass__ = type

import json
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

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


class DockerProvider(Provider):
    """Asks the engine's own program, by the container's exact name."""

    kind = "docker"

    def __init__(self, name: str, *, timeout: float, engine: str = "docker") -> None:
        super().__init__(name, timeout=timeout)
        self.engine = engine

    def state(self) -> ServiceState:
        container = self._inspect()
        if container is None:
            return ServiceState(self.kind, self.name, exists=False, running=False, word="does not exist")
        return self._parse(container)

    def read_environment(self) -> Dict[str, str]:
        container = self._inspect()
        if container is None:
            raise ServiceError(
                "see the settings of container %s" % self.name,
                got="it does not exist",
                next_step="create it, or correct the option runtime",
            )
        entries = container.get("Config", {}).get("Env") or []
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    def address(self) -> str:
        """Return the container's own address in one of its networks, empty when it has none."""
        networks = ((self._inspect() or {}).get("NetworkSettings") or {}).get("Networks") or {}
        found = [str(network.get("IPAddress") or "") for _name, network in sorted(networks.items())]
        return next(filter(None, found), "")

    def _inspect(self) -> Optional[Dict[str, Any]]:
        done = self._run(["inspect", "--type", "container", self.name])
        if done.rc != 0:
            if "no such" in done.err.lower():
                return None
            raise self._refused("inspect container %s" % self.name, done)
        # `inspect` also takes the first letters of an id: that would be another container.
        found: List[Dict[str, Any]] = json.loads(done.out)
        return next((c for c in found if self.name in (c["Name"].lstrip("/"), c["Id"])), None)

    def _parse(self, container: Dict[str, Any]) -> ServiceState:
        state = container["State"]
        running = bool(state["Running"])
        pid = int(state.get("Pid") or 0)
        process = process_info(pid) if pid else None
        health = (state.get("Health") or {}).get("Status")
        return ServiceState(
            self.kind,
            self.name,
            exists=True,
            running=running,
            word=state["Status"],
            healthy=None if health in (None, "", "none", "starting") else health == "healthy",
            frozen=bool(state.get("Paused")) or bool(process and process.frozen),
            pid=pid,
            uptime=_seconds_since(state.get("StartedAt")) if running else None,
            restarts=int(container.get("RestartCount") or 0),
            restarting=bool(state.get("Restarting")),
            exit_code=int(state.get("ExitCode") or 0),
            oom_killed=bool(state.get("OOMKilled")),
            note="health check says %s" % health if health else "",
        )

    def logs(self, *, hours: float, max_bytes: int) -> LogText:
        since = "%dm" % max(1, round(hours * 60))
        done = self._run(
            ["logs", "--timestamps", "--since", since, "--tail", "20000", self.name],
            max_output=max_bytes,
            merge=True,
        )
        if done.rc != 0:
            raise self._refused("read the log of container %s" % self.name, done)
        return LogText(done.out, "%s logs %s" % (self.engine, self.name))

    def thaw(self, state: ServiceState) -> None:
        if state.word == "paused":
            self._must(["unpause", self.name], "unpause container %s" % self.name)
        else:
            self._must(["kill", "--signal", "CONT", self.name], "continue container %s" % self.name)

    def stop(self, *, stop_timeout: float) -> None:
        # Also a restart policy lets it lie then, until it is started.
        command = ["stop", "--time", "%d" % stop_timeout, self.name]
        self._must(command, "stop container %s" % self.name, timeout=stop_timeout + 60)

    def restart(self, *, stop_timeout: float) -> str:
        command = ["restart", "--time", "%d" % stop_timeout, self.name]
        self._must(command, "restart container %s" % self.name, timeout=stop_timeout + 60)
        return "%s %s" % (self.engine, " ".join(command))

    def _must(self, arguments: List[str], what: str, timeout: Optional[float] = None) -> None:
        done = self._run(arguments, timeout=timeout)
        if done.rc != 0:
            raise self._refused(what, done)

    def _run(
        self,
        arguments: List[str],
        *,
        timeout: Optional[float] = None,
        max_output: int = 1024 * 1024,
        merge: bool = False,
    ) -> Completed:
        limit = timeout or self.timeout
        return run([self.engine, *arguments], timeout=limit, max_output=max_output, merge=merge)

    def _refused(self, what: str, done: Completed) -> OncallError:
        got = (done.err or done.out).strip()[-400:]
        low = got.lower()
        if "permission denied" in low:
            return DeniedError(
                what, got=got, next_step="become root, or add the login user to the group %s" % self.engine
            )
        if "cannot connect to the docker daemon" in low or "is the docker daemon running" in low:
            return UnreachableError(
                what, got=got, next_step="look at the engine itself: systemctl status %s" % self.engine
            )
        return ServiceError(
            what, got=got or "exit code %d" % done.rc, next_step="run the same command by hand on the host"
        )


def _seconds_since(stamp: Optional[str]) -> Optional[float]:
    # 2026-11-21T06:43:00.123456789Z: nanoseconds are more digits than strptime takes.
    try:
        started = datetime.strptime((stamp or "")[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return max(0.0, (datetime.now(timezone.utc) - started).total_seconds())
