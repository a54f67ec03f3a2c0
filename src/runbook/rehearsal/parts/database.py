"""The database: the seed's cluster on a disk of its own, with fresh passwords and a day of newer rows."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from runbook.rehearsal import isolation, seed, store
from runbook.rehearsal.parts import production_port
from runbook.rehearsal.postgres_server import PostgresBinaries, PostgresServer
from runbook.rehearsal.processes import free_port

_DISK_FACTOR, _DISK_BASE = 6, 384 << 20
_SETTINGS = {
    "max_connections": "60",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Database:
    """PostgreSQL in `folder`/disk; its address is known before it is up. `disk`: bytes, 0: a fitting one."""

    def __init__(self, folder: Path, binaries: PostgresBinaries, made: seed.Seed, disk: int) -> None:
        self._folder, self._seed, self.shape = folder, made, made.shape
        self._app_password = "canary-" + secrets.token_hex(12)
        place = folder / "disk"
        if isolation.mode() == "namespace":
            isolation.mount_disk(place, disk or _DISK_BASE + _DISK_FACTOR * made.facts["size"])
        place.mkdir(mode=0o711, exist_ok=True)
        self.server = PostgresServer(
            binaries,
            place / "pg",
            superuser=self.shape.superuser,
            port=production_port(5432) or free_port(),
            settings=_SETTINGS,
            over_socket=True,
        )

    @property
    def url(self) -> str:
        """Where the application finds its database."""
        login = f"{self.shape.app_role}:{self._app_password}"
        return f"postgresql://{login}@127.0.0.1:{self.server.port}/{self.shape.database}"

    def start(self, now: datetime) -> None:
        """Start the server and let the time between the last backup and `now` pass."""
        server = self.server
        server.make_folders()
        seed.unpack(self._seed.cluster, server.data)
        server.start()
        logins = ((self.shape.superuser, server.password), (self.shape.app_role, self._app_password))
        for role, password in logins:
            server.execute(f"ALTER ROLE {role} PASSWORD %s", (password,))
            (self._folder / f"{role}.password").write_text(password)
            (self._folder / f"{role}.password").chmod(0o600)
        server.over_socket = False
        seed.since_backup(server, self.shape, store.last_night(now).isoformat())

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says about it."""
        server = self.server
        about = {
            "label": server.binaries.label,
            "version": server.binaries.version,
            "host": "127.0.0.1",
            "port": server.port,
            "user": server.superuser,
            "password": server.password,
            "database": self.shape.database,
            "maintenance_db": "postgres",
            "folder": str(server.folder),
            "data_dir": str(server.data),
            "log_path": str(server.log),
            "client_dir": str(server.binaries.bin_dir),
        }
        return {"postgres": about, "app": {"user": self.shape.app_role, "password": self._app_password}}
