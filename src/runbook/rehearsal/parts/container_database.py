"""The database in a container: made by a server of this side, then handed over with its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from runbook.rehearsal.parts.database import Database

CONTAINER = "roost-postgres"
VOLUME = "roost_postgres_data"
MOUNTED = "/var/lib/postgresql/data"
USER_ID = 1000
_ANYWHERE = "host all all 0.0.0.0/0 scram-sha-256\n"
# A server in a container is reached through the engine's network.
_SETTINGS = {"listen_addresses": "*", "unix_socket_directories": "/tmp"}  # noqa: S108 - inside the container


class ContainerDatabase(Database):
    """As Database; from `hand_over` on its files are those of the container."""

    def hand_over(self) -> None:
        """Stop the server of this side and make its files ready for the one in the container."""
        server = self.server
        server.stop()
        server.settings = {**server.settings, **_SETTINGS}
        server.configure()
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write(_ANYWHERE)
        for path in (server.data, *server.data.rglob("*")):
            os.chown(path, USER_ID, USER_ID)

    @property
    def data(self) -> Path:
        """The cluster's files."""
        return self.server.data

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says about it."""
        told = super().describe()
        about = {**told["postgres"], "container": CONTAINER, "client_dir": "", "log_path": ""}
        return {**told, "postgres": about}
