"""A real container engine, and an image of PostgreSQL made on this machine: no registry is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from runbook.rehearsal.engine import Image
from runbook.rehearsal.postgres_server import PostgresBinaries

IMAGE = "oncall-test-postgres"


class NoEngineError(RuntimeError):
    """No container engine can be used here; the text says why."""


@dataclass
class Engine:
    """An engine that `docker` reaches; one of our own is ended by `stop`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Use the engine that is there, else start one without a network; raise NoEngineError."""
        if shutil.which("docker") is None:
            raise NoEngineError("there is no program docker (package docker.io)")
        if os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists():
            self.environment = dict(os.environ)
            if self._answers():
                return
        self.start_own()

    def start_own(self) -> None:
        """Start an engine that nobody else uses; raise NoEngineError."""
        if shutil.which("docker") is None:
            raise NoEngineError("there is no program docker (package docker.io)")
        program = shutil.which("dockerd") or "/usr/sbin/dockerd"
        if os.geteuid() != 0 or not Path(program).exists():
            raise NoEngineError(
                "no engine answers, and only root with dockerd (package docker.io) starts one"
            )
        self._launch(program)

    def _launch(self, program: str) -> None:
        socket = f"unix://{self.folder}/engine.sock"
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        command = [program, "-H", socket, "--bridge=none", "--iptables=false", "--ip6tables=false"]
        command += [f"--{option}={self.folder / name}" for option, name in places.items()]
        self.folder.mkdir(parents=True)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.environment = {**os.environ, "DOCKER_HOST": socket}
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log").read_text(errors="replace").splitlines()[-3:]
                self.stop()
                raise NoEngineError("dockerd does not start here: " + " | ".join(said))
            time.sleep(0.1)

    def _answers(self) -> bool:
        asked = ["docker", "info", "--format", "{{.ServerVersion}}"]
        done = subprocess.run(asked, env=self.environment, capture_output=True, check=False, timeout=20)
        return done.returncode == 0

    def run(self, *arguments: str, stderr: int = subprocess.PIPE) -> bytes:
        """Run one command of docker and return what it prints; raise when it fails."""
        done = subprocess.run(
            ["docker", *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=stderr, check=False
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace")
            raise NoEngineError(f"docker {arguments[0]}: {said[-500:]}")
        return done.stdout

    def stop(self) -> None:
        """End the engine, when it is ours, with everything it holds."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def import_postgres(self, binaries: PostgresBinaries) -> None:
        """Make the image of a server."""
        image = Image()
        programs = image.add_postgres(binaries)
        self.import_image(image, IMAGE, f"{programs}:/bin")

    def import_image(self, image: Image, name: str, path: str = "/bin") -> None:
        """Make an image whose programs are found in `path`."""
        host = self.environment.get("DOCKER_HOST", "")
        image.load(name, self.folder.parent, env=[f"PATH={path}"], host=host)


@dataclass
class ContainerServer:
    """PostgreSQL in a container without a network: its socket is in a folder of the host."""

    engine: Engine
    binaries: PostgresBinaries
    folder: Path
    name: str
    port: int = 5432
    superuser: str = "postgres"
    password: str = "canary-none"

    @property
    def sockets(self) -> str:
        """Folder of the socket, on the host."""
        return str(self.folder)

    def start(self) -> None:
        """Run the container and wait until the server answers through the socket."""
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o777)
        script = (
            "initdb -D /data/pg -U postgres --auth=trust --no-sync -E UTF8 --locale=C >/dev/null && "
            "exec postgres -D /data/pg -k /s -c listen_addresses= -c fsync=off -c max_connections=40"
        )
        self.engine.run(
            *("run", "-d", "--name", self.name, "--network", "none", "--user", "1000:1000"),
            *("--tmpfs", "/data:mode=0777", "--tmpfs", "/tmp:mode=1777", "--shm-size", "64m"),
            *(
                "-e",
                "PGHOST=/s",
                "-e",
                "PGUSER=postgres",
                "-v",
                f"{self.folder}:/s",
                IMAGE,
                "sh",
                "-c",
                script,
            ),
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > deadline:
                said = self.engine.run("logs", self.name, stderr=subprocess.STDOUT).decode(errors="replace")
                raise NoEngineError("the server in the container does not answer: " + said[-800:])
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.execute("SELECT 1") == [(1,)]
        except psycopg2.OperationalError:
            return False

    def execute(
        self, sql: str, parameters: object = None, *, database: str = "postgres"
    ) -> list[tuple[object, ...]]:
        """Run one statement in autocommit and return its rows."""
        connection = psycopg2.connect(host=self.sockets, user=self.superuser, dbname=database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run one of the server's own programs inside the container."""
        out = self.engine.run("exec", self.name, tool, *arguments)
        return subprocess.CompletedProcess([tool, *arguments], 0, out)
