"""Roost's own services under supervisord: their settings, and a subscriber to try them with."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import runbook
from runbook.rehearsal import isolation, seed
from runbook.rehearsal.parts.database import Database
from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.processes import Process, StandInError, accepts_connections, wait_until
from runbook.rehearsal.services import tokens
from runbook.rehearsal.services.__main__ import settings

PORTS = {
    "relay": 8090,
    "owl_api": 8091,
    "auth": 8082,
    "tunnel": 20241,
    "cloudflare": 8101,
    "bunny": 8102,
}
"""Every program, and the port that it has in the real system (the origins of the CDN: anywhere)."""
ORIGINS = ("cloudflare", "bunny")
_PUBLIC = "public"
_PUBLIC_PORT = 8080
_EXPIRY_S = 3600
_CANARY_EMAIL = "canary@example.org"
_CANARY_SLUG = "nest-7"

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
"""
# A service that came back by itself would call nobody: the faults are of those that stay down. It counts as
# started at once, so that a restart takes no longer than the service itself.
_PROGRAM = """
[program:{name}]
command={command}
directory={folder}
autorestart=false
startsecs=0
stopwaitsecs=3
redirect_stderr=true
stdout_logfile={folder}/log/{name}.log
"""


class Services:
    """The services of one stack, in `folder`; `launch`, then `wait_ready` when the database is up."""

    def __init__(self, folder: Path, data: Database) -> None:
        self.folder = folder
        self._server = data.server
        self.project = folder / "opt-roost"
        self.env_file = self.project / ".env.prod"
        self.config = self.project / "supervisord.conf"
        self.ports = _ports()
        self.settings = self._settings(data.url)
        self._supervisor: Process | None = None

    def _settings(self, database_url: str) -> dict[str, str]:
        urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        return {
            "DATABASE_URL": database_url,
            "AUTH_JWT_SECRET": "canary-" + secrets.token_hex(32),
            "AUTH_JWT_EXPIRY": str(_EXPIRY_S),
            "ADMIN_TOKEN": "canary-" + secrets.token_hex(16),
            "STRIPE_WEBHOOK_SECRET": "whsec_canary" + secrets.token_hex(16),
            "RELAY_URL": urls["relay"],
            "OWL_API_URL": urls["owl_api"],
            "AUTH_URL": urls["auth"],
            "CDN_CLOUDFLARE_URL": urls["cloudflare"],
            "CDN_BUNNY_URL": urls["bunny"],
            "RELAY_CACHE_DIR": str(self.folder / "disk" / "relay"),
            "OWL_STATE_DIR": str(self.project / "state"),
        }

    def launch(self) -> None:
        """Write the settings and start everything; what comes up meanwhile needs no waiting for."""
        for name in (self.project, self.folder / "run", self.folder / "log"):
            name.mkdir(mode=0o700, exist_ok=True)
        self.env_file.touch(mode=0o600)
        lines = [f"{key}={value}" for key, value in self.settings.items()]
        self.env_file.write_text("# Settings of Roost's services.\n" + "\n".join(lines) + "\n")
        self.config.write_text(self._configuration())
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config)]
        self._supervisor = Process(command, log=self.folder / "log" / "supervisord.out")
        self._supervisor.start()

    def _configuration(self) -> str:
        library = Path(runbook.__file__).parent.parent
        head = _SUPERVISOR.format(folder=self.folder, library=library)
        return head + "".join(
            _PROGRAM.format(name=name, command=" ".join(self._command(name)), folder=self.folder)
            for name in PORTS
        )

    def _command(self, name: str) -> list[str]:
        program = "cdn" if name in ORIGINS else name
        # Without the packages of this environment, because a service needs none and starts in half the time.
        command = [sys.executable, "-S", "-m", "runbook.rehearsal.services", program, "--name", name]
        command += ["--port", str(self.ports[name]), "--env-file", str(self.env_file)]
        command += ["--run-dir", str(self.folder / "run")]
        return command + (["--public-port", str(self.ports[_PUBLIC])] if name == "tunnel" else [])

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
    def stripe_account(self) -> dict[str, str]:
        """What Stripe knows of the system: where it delivers events, and the secret that signs them."""
        url = f"http://127.0.0.1:{self.ports['owl_api']}/webhooks/stripe"
        return {"endpoint_url": url, "webhook_secret": self.settings["STRIPE_WEBHOOK_SECRET"]}

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says of the services, with a subscriber who may see everything."""
        return {
            "services": {name: self._describe_one(name) for name in PORTS},
            "supervisor": {
                "config": str(self.config),
                "ctl": str(Path(sys.executable).parent / "supervisorctl"),
            },
            "project_dir": str(self.project),
            "env_file": str(self.env_file),
            "relay_cache": self.settings["RELAY_CACHE_DIR"],
            "admin_token": self.settings["ADMIN_TOKEN"],
            "stripe_webhook_secret": self.settings["STRIPE_WEBHOOK_SECRET"],
            "public_url": f"http://127.0.0.1:{self.ports[_PUBLIC]}",
            "canary": _canary(self._server, self.settings["AUTH_JWT_SECRET"]),
        }

    def _describe_one(self, name: str) -> dict[str, Any]:
        return {
            "url": f"http://127.0.0.1:{self.ports[name]}",
            "port": self.ports[name],
            "pid_file": str(self.folder / "run" / f"{name}.pid"),
            "log": str(self.folder / "log" / f"{name}.log"),
        }


def _ports() -> dict[str, int]:
    wanted = {**PORTS, _PUBLIC: _PUBLIC_PORT}
    if isolation.mode() == "namespace" and not any(map(accepts_connections, wanted.values())):
        return wanted
    # All at once: asked for one after the other, the same port could be given twice.
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in wanted]
    found = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return dict(zip(wanted, found, strict=True))


def _canary(server: PostgresServer, secret: str) -> dict[str, str]:
    """Make a subscriber with a password and with a token that is good for a year."""
    password = "canary-" + secrets.token_hex(12)
    rows = server.execute(
        "INSERT INTO public.subscribers (email, display_name, status, password_hash) "
        "VALUES (%s, 'Canary', 'active', %s) RETURNING id",
        (_CANARY_EMAIL, tokens.hash_password(password)),
        database=seed.DATABASE,
    )
    token = tokens.sign(secret, str(rows[0][0]), 365 * 86400)
    server.execute(
        "INSERT INTO public.api_tokens (subscriber_id, token_hash, scopes) "
        "VALUES (%s, %s::bytea, '{stream}')",
        (rows[0][0], tokens.fingerprint(token)),
        database=seed.DATABASE,
    )
    return {
        "slug": _CANARY_SLUG,
        "subscriber": str(rows[0][0]),
        "email": _CANARY_EMAIL,
        "password": password,
        "token": token,
    }


def tell(facts: Mapping[str, Any], name: str, fault: Mapping[str, Any]) -> None:
    """Give a running service a fault that lasts until it is started again; an empty one ends it."""
    pid_file = Path(facts["services"][name]["pid_file"])
    fresh = pid_file.with_suffix(".fault.new")
    fresh.write_text(json.dumps(fault) + "\n")
    fresh.rename(pid_file.with_suffix(".fault"))
    os.kill(pid_of(facts, name), signal.SIGUSR1)


def restart(facts: Mapping[str, Any], name: str) -> None:
    """Start a service again, or for the first time, and wait until it listens."""
    config = facts["supervisor"]["config"]
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", config, "restart", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if f"{name}: started" not in done.stdout:
        raise StandInError(f"{name} could not be started: {(done.stdout + done.stderr).strip()[-300:]}")
    port = facts["services"][name]["port"]
    wait_until(lambda: accepts_connections(port), timeout=10, what=name)


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
    """Return the process id of a service."""
    return int(Path(facts["services"][name]["pid_file"]).read_text())
