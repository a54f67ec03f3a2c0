"""Redis under the supervisor of the services: sessions, a queue and limits are in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runbook.rehearsal.parts import production_port
from runbook.rehearsal.parts.services import PROGRAM
from runbook.rehearsal.processes import StandInError, wait_until
from runbook.rehearsal.redis_server import RedisBinary, RedisServer, choose_redis

QUEUE = "queue:mail"
SESSIONS = "session:of-"
# It is a limit that a rehearsal can fill in a second, of a container that has room for four times as much.
_MAXMEMORY = 8 << 20
MEMORY_LIMIT = 48 << 20


class Redis:
    """A server in `folder`/disk/redis; `url` is known before it runs. The services' supervisor starts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        settings = {
            "maxmemory": str(_MAXMEMORY),
            "maxclients": "60",
            "pidfile": str(folder / "run" / "redis.pid"),
        }
        place = folder / "disk" / "redis"
        self.server = RedisServer(choose_redis(), place, port=production_port(6379), settings=settings)
        self.server.prepare()

    @property
    def url(self) -> str:
        """Where the services find it."""
        return f"redis://:{self.server.password}@127.0.0.1:{self.server.port}/0"

    def launch(self) -> None:
        """Tell the supervisor of it, which is started after this."""
        for name in ("run", "log"):
            (self._folder / name).mkdir(mode=0o700, exist_ok=True)
        command = " ".join(self.server.command)
        program = PROGRAM.format(name="redis", command=command, folder=self._folder)
        (self._folder / "run" / "redis.supervisor").write_text(program)

    def wait_ready(self) -> None:
        """Wait until it answers, and put into it what must not be lost."""
        wait_until(self.server.answers, timeout=20, what="Redis")
        with self.server.client() as client:
            client.rpush(QUEUE, *(f"message {number}" for number in range(25)))
            client.mset({f"{SESSIONS}{number}": f"customer-{number}@example.org" for number in range(40)})
            client.set("limit:login:192.0.2.1", 3, ex=86400)
            client.save()

    def stop(self) -> None:
        """Nothing to do: it ends with the supervisor, or by the guard."""

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says about it."""
        server = self.server
        about = {
            "label": server.binary.label,
            "port": server.port,
            "password": server.password,
            "url": self.url,
            "folder": str(server.folder),
            "data_path": str(server.data),
            "check_program": str(server.check_program),
            "memory_limit": MEMORY_LIMIT,
        }
        own = {
            "port": server.port,
            "pid_file": str(self._folder / "run" / "redis.pid"),
            "log": str(self._folder / "log" / "redis.log"),
        }
        return {"redis": about, "services": {"redis": own}}


def server_of(facts: dict[str, Any]) -> RedisServer:
    """Return a handle on a running stack's Redis (its supervisor owns the process)."""
    about = facts.get("redis")
    if about is None:
        raise StandInError("this stand-in has no Redis")
    binary = RedisBinary(about["label"], Path(about["check_program"]).resolve())
    return RedisServer(binary, Path(about["folder"]), port=about["port"], password=about["password"])
