"""A real supervisord with a real HTTP service under it, started with the settings of a real env file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.service.supervisor import SupervisorProvider

from runbook.rehearsal.processes import accepts_connections, free_port, wait_until

WEB = Path(__file__).with_name("web.py")
SECRET = "canary-secret-of-the-service-0123456789"
SETTINGS = (("AUTH_JWT_SECRET", SECRET), ("AUTH_JWT_EXPIRY", "3600"))
CONFIG = """
[unix_http_server]
file = {folder}/s.sock
username = canary-user
password = canary-password

[supervisord]
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
nodaemon = true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://%(here)s/s.sock   ; where it listens
username = canary-user
password = canary-password
"""
PROGRAM = """
[program:{name}]
command = {python} {folder}/launch.py {env_file} {python} -u {web} {folder}/{name} {port}
stdout_logfile = {folder}/{name}.log
redirect_stderr = true
autostart = {autostart}
autorestart = {autostart}
startsecs = 0
startretries = 0
"""
LAUNCH = """
import os, sys
lines = open(sys.argv[1]).read().splitlines()
pairs = [line.split("=", 1) for line in lines if "=" in line and line[0] != "#"]
os.execve(sys.argv[2], sys.argv[2:], {"PATH": os.environ["PATH"], **dict(pairs)})
"""


@dataclass
class Supervised:
    """A supervisord in a folder, and the programs under it by name."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "supervisord.conf"

    @property
    def env_file(self) -> Path:
        """The settings of all programs."""
        return self.folder / ".env.prod"

    def provider(self, name: str = "web") -> SupervisorProvider:
        """Return the provider of one program."""
        return SupervisorProvider(name, timeout=5, config=str(self.config))

    def says(self, name: str = "web", **answer: Any) -> None:
        """Set what the service answers from now on."""
        (self.folder / name).mkdir(exist_ok=True)
        beside = self.folder / name / "next.json"
        beside.write_text(json.dumps(answer))
        beside.rename(self.folder / name / "answer.json")

    def log(self, text: str, name: str = "web") -> None:
        """Replace the service's log."""
        (self.folder / f"{name}.log").write_text(text)

    def runtime(self, name: str = "web") -> dict[str, Any]:
        """Return the option `runtime` of one program."""
        return {
            "kind": "supervisor", "name": name, "config": str(self.config),
            "project_dir": str(self.folder), "env_file": ".env.prod",
        }  # fmt: skip

    def health(self, name: str = "web", **changed: Any) -> dict[str, Any]:
        """Return the option `health` of one program."""
        url = f"http://127.0.0.1:{self.ports[name]}/health"
        return {
            "url": url,
            "status": [200],
            "json": {"status": "ok"},
            "contains": "",
            "timeout": 1.0,
            **changed,
        }

    def service(self, name: str = "web", **changed: Any) -> dict[str, Any]:
        """Return one entry of the option `services`, with every default filled in."""
        return {
            "name": name, "part": "stream", "runtime": self.runtime(name), "health": self.health(name),
            "connections": None, "log": {"patterns": {}, "window_minutes": 15.0}, "settings": [],
            "precheck": [], "hint": "", **changed,
        }  # fmt: skip

    def reset(self) -> None:
        """Put everything back that a test may have changed."""
        self.env_file.write_text("# settings\n" + "".join(f"{key}={value}\n" for key, value in SETTINGS))
        for name in self.ports:
            self.says(name)
            self.log("", name)
        for name in ("web", "api"):
            state = self.provider(name).state()
            if state.frozen:
                os.kill(state.pid, signal.SIGCONT)
            if not state.running or not set(SETTINGS) <= set(self.provider(name).read_environment().items()):
                self.provider(name).restart(stop_timeout=5)
            wait_until(lambda name=name: accepts_connections(self.ports[name]), timeout=9, what=name)  # type: ignore[misc]

    def write(self, programs: list[str]) -> None:
        """Write the configuration; a program named `broken` is not started by itself."""
        text = CONFIG.format(folder=self.folder)
        (self.folder / "launch.py").write_text(LAUNCH)
        self.env_file.write_text(f"AUTH_JWT_SECRET={SECRET}\n")
        for name in programs:
            self.ports[name] = free_port()
            self.says(name)
            text += PROGRAM.format(
                name=name, folder=self.folder, python=sys.executable, web=WEB, port=self.ports[name],
                env_file=self.env_file, autostart="false" if name == "broken" else "true",
            )  # fmt: skip
        self.config.write_text(text)


@pytest.fixture(scope="session")
def _daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    # A Unix socket's path has to be short.
    made = Supervised(tmp_path_factory.mktemp("sv"))
    made.write(["web", "api", "broken"])
    daemon = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(made.config)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=made.folder, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until((made.folder / "s.sock").exists, timeout=20, what="supervisord")
        yield made
    finally:
        # An orderly end takes supervisord seconds, and a frozen program would outlive it.
        pids = [made.provider(name).state().pid for name in made.ports]
        for pid in (daemon.pid, *filter(None, pids)):
            os.kill(pid, signal.SIGKILL)
        daemon.wait()


@pytest.fixture
def supervised(_daemon: Supervised) -> Supervised:
    """A supervisord with the programs `web` and `api` running and well, `broken` stopped."""
    _daemon.reset()
    return _daemon
