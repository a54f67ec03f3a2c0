"""A system's own services under supervisord: their settings, and what is done to them while they run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import runbook
from runbook.rehearsal import engine, isolation
from runbook.rehearsal.parts.database import Database
from runbook.rehearsal.processes import Process, StandInError, accepts_connections, wait_until
from runbook.rehearsal.services.__main__ import settings
from runbook.rehearsal.services.fetch import fetch

_PUBLIC = "public"

_SUPERVISOR = """\
[unix_http_server]
file={folder}/run/supervisor.sock
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/run/supervisor.sock
[supervisord]
nodaemon=true
silent=true
logfile={folder}/log/supervisord.log
pidfile={folder}/run/supervisord.pid
childlogdir={folder}/log
environment=PYTHONPATH="{library}"
[include]
files={folder}/run/*.supervisor
"""
# A service that came back by itself would call nobody: the faults are of those that stay down. It counts as
# started at once, so that a restart takes no longer than the service itself.
PROGRAM = """
[program:{name}]
command={command}
directory={folder}
autorestart=false
startsecs=0
stopwaitsecs=3
redirect_stderr=true
stdout_logfile={folder}/log/{name}.log
"""


class Services(ABC):
    """The services of one stack, in `folder`; `launch`, then `wait_ready` when the database is up.

    programs: every one of them, and the port that it has in the real system. public_port: where the
    public comes in. project_name, env_name: folder and file of their settings. `more`: settings that other
    parts of the stack have for them.
    """

    programs: ClassVar[Mapping[str, int]]
    public_port: ClassVar[int]
    project_name: ClassVar[str]
    env_name: ClassVar[str]

    def __init__(self, folder: Path, data: Database, more: Mapping[str, str]) -> None:
        self.folder = folder
        self._server = data.server
        self.project = folder / self.project_name
        self.env_file = self.project / self.env_name
        self.config = self.project / "supervisord.conf"
        self.ports = _ports({**self.programs, _PUBLIC: self.public_port})
        self.settings = {**self._settings(data.url), **more}
        self._supervisor: Process | None = None

    @abstractmethod
    def _settings(self, database_url: str) -> dict[str, str]:
        """Return what the file of settings holds."""

    def _more_arguments(self, name: str) -> list[str]:  # noqa: ARG002
        """Return what a program is told beside its name, port and settings."""
        return []

    def _program(self, name: str) -> str:
        """Return which program of `services/` a service is."""
        return name

    def launch(self) -> None:
        """Write the settings and start everything; what comes up meanwhile needs no waiting for."""
        for name in (self.project, self.folder / "run", self.folder / "log"):
            name.mkdir(mode=0o700, exist_ok=True)
        write_file(self.env_file, self.settings)
        self.config.write_text(self._configuration())
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config)]
        self._supervisor = Process(command, log=self.folder / "log" / "supervisord.out")
        self._supervisor.start()

    def _configuration(self) -> str:
        library = Path(runbook.__file__).parent.parent
        head = _SUPERVISOR.format(folder=self.folder, library=library)
        return head + "".join(
            PROGRAM.format(name=name, command=" ".join(self._command(name)), folder=self.folder)
            for name in self.supervised
        )

    @property
    def supervised(self) -> Iterable[str]:
        """The programs that supervisord keeps."""
        return self.programs

    def _command(self, name: str) -> list[str]:
        # Without the packages of this environment, because a service needs none and starts in half the time.
        command = [sys.executable, "-S", "-m", "runbook.rehearsal.services", self._program(name)]
        command += ["--name", name, "--port", str(self.ports[name]), "--env-file", str(self.env_file)]
        return [*command, "--run-dir", str(self.folder / "run"), *self._more_arguments(name)]

    def url(self, name: str) -> str:
        """Return where a service listens."""
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def public_url(self) -> str:
        """Where the public comes in."""
        return self.url(_PUBLIC)

    def wait_ready(self) -> None:
        """Wait until every service listens."""
        assert self._supervisor is not None
        for port in self.ports.values():
            self._supervisor.ready(lambda port=port: accepts_connections(port), timeout=20)  # type: ignore[misc]

    def stop(self) -> None:
        """End the supervisor; the guard ends the services, which takes no orderly stop of each."""
        if self._supervisor is not None:
            self._supervisor.stop(signal.SIGKILL)

    @property
    @abstractmethod
    def stripe_account(self) -> dict[str, str]:
        """What Stripe knows of the system: where it delivers events, and the secret that signs them."""

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says of the services."""
        return {
            "services": {name: self._describe_one(name) for name in self.programs},
            "supervisor": {
                "config": str(self.config),
                "ctl": str(Path(sys.executable).parent / "supervisorctl"),
            },
            "project_dir": str(self.project),
            "env_file": str(self.env_file),
            "public_url": self.public_url,
        }

    def _describe_one(self, name: str) -> dict[str, Any]:
        return {
            "url": self.url(name),
            "port": self.ports[name],
            "pid_file": str(self.folder / "run" / f"{name}.pid"),
            "log": str(self.folder / "log" / f"{name}.log"),
        }


def write_file(path: Path, values: Mapping[str, str]) -> None:
    """Write a file of settings that only its owner may read."""
    path.touch(mode=0o600)
    lines = [f"{key}={value}" for key, value in values.items()]
    path.write_text("# Settings of the services.\n" + "\n".join(lines) + "\n")


def _ports(wanted: Mapping[str, int]) -> dict[str, int]:
    if isolation.mode() == "namespace" and not any(map(accepts_connections, wanted.values())):
        return dict(wanted)
    # All at once: asked for one after the other, the same port could be given twice.
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in wanted]
    found = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return dict(zip(wanted, found, strict=True))


def tell(facts: Mapping[str, Any], name: str, fault: Mapping[str, Any]) -> None:
    """Give a running service a fault that lasts until it is started again; an empty one ends it."""
    pid_file = Path(facts["services"][name]["pid_file"])
    fresh = pid_file.with_suffix(".fault.new")
    fresh.write_text(json.dumps(fault) + "\n")
    fresh.rename(pid_file.with_suffix(".fault"))
    os.kill(pid_of(facts, name), signal.SIGUSR1)


def restart(facts: Mapping[str, Any], name: str) -> None:
    """Start a service again, or for the first time, and wait until it listens."""
    if container := facts["services"][name].get("container"):
        engine.recreate(facts["compose"], name, container)
    else:
        restart_supervised(facts, name)
    url = facts["services"][name]["url"]
    wait_until(lambda: answers(url), timeout=10, what=name)


def answers(url: str) -> bool:
    """Whether a service answers at all; what an engine publishes takes connections before anybody listens."""
    return fetch(f"{url}/health", {}).status not in (502, 504)


def restart_supervised(facts: Mapping[str, Any], name: str) -> None:
    """Have supervisord start a program again; nothing is waited for."""
    config = facts["supervisor"]["config"]
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", config, "restart", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if f"{name}: started" not in done.stdout:
        raise StandInError(f"{name} could not be started: {(done.stdout + done.stderr).strip()[-300:]}")


def write_settings(facts: Mapping[str, Any], values: Mapping[str, str | None]) -> None:
    """Set settings in the services' file, None removes; a service reads them when it is started again."""
    path = Path(facts["env_file"])
    rest = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in values]
    path.write_text("\n".join([*rest, *(f"{k}={v}" for k, v in values.items() if v is not None)]) + "\n")


def read_settings(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that are in the file."""
    return settings(Path(facts["env_file"]).read_text())


def mode_of_settings(facts: Mapping[str, Any]) -> str:
    """Return the permissions of the file of settings."""
    return f"{Path(facts['env_file']).stat().st_mode:o}"


def environment_of(facts: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the settings that a running service was started with."""
    text = Path(f"/proc/{pid_of(facts, name)}/environ").read_text()
    return dict(pair.partition("=")[::2] for pair in text.split("\0") if pair)


def pid_of(facts: Mapping[str, Any], name: str) -> int:
    """Return the process id of a service; raises StandInError when its container does not run."""
    if container := facts["services"][name].get("container"):
        return engine.pid_of(container)
    return int(Path(facts["services"][name]["pid_file"]).read_text())
