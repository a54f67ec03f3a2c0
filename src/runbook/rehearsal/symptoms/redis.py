"""Redis that is full, cannot save, follows another, has no room for anybody, or has damaged files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.rehearsal.parts import services
from runbook.rehearsal.parts.redis import SESSIONS, server_of
from runbook.rehearsal.processes import free_port, wait_until
from runbook.rehearsal.redis_server import RedisServer
from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import disk

if TYPE_CHECKING:
    import redis

# What a probe or a customer makes meanwhile, and is not to be compared.
_PASSING = ("oncall:", "session:")
_REFUSED = 5
_FILLER = "cache:page:"


def of(stack: Stack) -> RedisServer:
    """Return a handle on the stack's Redis."""
    return server_of(stack.facts)


def start(stack: Stack) -> None:
    """Start it again, and wait until it answers."""
    services.restart_supervised(stack.facts, "redis")
    wait_until(of(stack).answers, timeout=15, what="Redis")


def fill_memory(stack: Stack) -> None:
    """Write pages until Redis takes no more, at last small ones, and nobody can write any for a while."""
    number = 0
    for length in (100_000, 5_000):
        number = _filled(stack, number, length)
    refused = 0
    # Buffers of a connection count, and are given back some time after its end.
    while refused < _REFUSED:
        before, number = number, _filled(stack, number, 50)
        refused = refused + 1 if number == before else 0
        time.sleep(0.2)


def _filled(stack: Stack, number: int, length: int) -> int:
    """Write pages from `number` on until one is refused, and return its number."""
    import redis  # noqa: PLC0415

    with of(stack).client() as client, contextlib.suppress(redis.ResponseError):
        while True:
            client.set(f"{_FILLER}{number}", "x" * length)
            number += 1
    return number


def empty_memory(stack: Stack) -> None:
    """Take those pages away again."""
    with of(stack).client() as client:
        for key in client.scan_iter(f"{_FILLER}*"):
            client.delete(key)


def fail_a_save(stack: Stack) -> None:
    """Have a snapshot fail; what was in its way is gone again."""
    of(stack).fail_a_save()


def block_saves(stack: Stack) -> None:
    """Put something where the snapshot has to go, and have one fail."""
    of(stack).fail_a_save(stays=True)


def unblock_saves(stack: Stack) -> None:
    """Take that away."""
    of(stack).unblock_saves()


def save(stack: Stack) -> None:
    """Have it save, so that it takes writes."""
    of(stack).call("SAVE")


def follow_nobody(stack: Stack) -> None:
    """Make it a replica of a server that is not there."""
    of(stack).call("REPLICAOF", "127.0.0.1", free_port())


def lead(stack: Stack) -> None:
    """Make it a primary."""
    of(stack).call("REPLICAOF", "NO", "ONE")


def follow_somebody(stack: Stack) -> None:
    """Make it a replica of an address where something lives."""
    of(stack).call("REPLICAOF", "127.0.0.1", int(stack.facts["services"]["api"]["port"]))


def fill_disk(stack: Stack) -> None:
    """Leave no byte on the disk, and have Redis notice at its next snapshot."""
    disk.fill(stack)
    server = of(stack)
    server.call("BGSAVE")
    wait_until(server.save_failed, timeout=15, what="a snapshot that fails for want of room")


def damage_files(stack: Stack) -> None:
    """End it, damage an entry in the middle of its append-only file, and have it fail to start."""
    server = of(stack)
    server.call("SET", "limit:login:198.51.100.7", 1)
    os.kill(services.pid_of(stack.facts, "redis"), signal.SIGKILL)
    wait_until(lambda: not server.answers(), timeout=5, what="the end of Redis")
    server.damage_append_only("limit:login:198.51.100.7")
    services.restart_supervised(stack.facts, "redis")
    wait_until(lambda: _says(stack, "Bad file format"), timeout=10, what="a start that fails")


def _says(stack: Stack, words: str) -> bool:
    return words in Path(stack.facts["services"]["redis"]["log"]).read_text(errors="replace")


def take_all_connections(stack: Stack) -> None:
    """Have the API take every connection and give none back."""
    services.tell(stack.facts, "api", {"hold_redis": 1000})
    wait_until(lambda: bool(log_in(stack)), timeout=10, what="a Redis without a free connection")


def wrong_url(stack: Stack) -> str:
    """Return the address of Redis with another password."""
    facts = stack.facts["redis"]
    return str(facts["url"].replace(facts["password"], "canary-of-an-earlier-deployment"))


def log_in(stack: Stack) -> str:
    """Log in as a customer by the public address and use the session; return what goes wrong."""
    url, account = stack.facts["public_url"], json.dumps(stack.facts["canary"]).encode()
    made = fetch(f"{url}/v1/login", {"Content-Type": "application/json"}, method="POST", body=account)
    if made.status != 200:
        return f"logging in: {made.status} {made.body[:200].decode(errors='replace')}"
    used = fetch(f"{url}/v1/session", {"Authorization": f"Bearer {json.loads(made.body)['token']}"})
    return "" if used.status == 200 else f"using a session: {used.status}"


def picture(stack: Stack) -> dict[str, Any]:
    """Take every key but those of probes, the limits, whom it follows, and the services' settings.

    Of one that is down its files are all there is to see.
    """
    settings = {f"setting {name}": value for name, value in services.read_settings(stack.facts).items()}
    if not of(stack).answers():
        return _files(of(stack).data) | settings
    with of(stack).client() as client:
        taken: dict[str, Any] = {
            f"limit {name}": client.config_get(name)[name]
            for name in ("maxmemory", "maxmemory-policy", "maxclients", "stop-writes-on-bgsave-error")
        }
        taken["follows"] = list(map(str, client.role()[:3] if client.role()[0] == "slave" else ["nobody"]))
        taken |= {f"key {key}": _held(client, key) for key in client.scan_iter() if not _passing(key)}
    return taken | settings


def _files(folder: Path) -> dict[str, Any]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {f"file {p.relative_to(folder)}": hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _passing(key: str) -> bool:
    return key.startswith(_PASSING) and not key.startswith(SESSIONS)


def _held(client: redis.Redis, key: str) -> Any:
    return client.lrange(key, 0, -1) if client.type(key) == "list" else client.get(key)
