# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Redis says of itself, judged: memory, what it keeps on disk, its role, its clients, its keys."""

from __future__ import annotations

__metaclass__ = type

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import above
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, size, span
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.ceiling import Ceiling, safe_maxmemory
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Client
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.info import Info

Limits = Mapping[str, Any]
Settings = Mapping[str, str]
SETTINGS = ("maxclients", "save", "stop-writes-on-bgsave-error", "maxmemory-policy", "dir", "dbfilename")
# How the length of each type of key is asked for.
_LENGTH = {"list": "LLEN", "zset": "ZCARD", "set": "SCARD", "hash": "HLEN", "stream": "XLEN"}


@dataclass(frozen=True)
class Memory:
    """How much memory is used of what may be used, in bytes; `limit` is maxmemory, 0 for none."""

    used: int
    limit: int
    policy: str
    evictable: bool
    ceiling: Ceiling

    @classmethod
    def of(cls, info: Info, ceiling: Ceiling) -> Memory:
        """Return what INFO tells."""
        policy = info.get("maxmemory_policy", "noeviction")
        expiring = any(",expires=0," not in text for name, text in info.items() if _is_database(name))
        evictable = policy.startswith("allkeys-") or (policy.startswith("volatile-") and expiring)
        return cls(info.number("used_memory"), info.number("maxmemory"), policy, evictable, ceiling)

    @property
    def percent(self) -> float:
        """Used of maxmemory, or of the ceiling where there is no maxmemory."""
        of = self.limit or self.ceiling.bytes
        return 100.0 * self.used / of if of else 0.0

    @property
    def raise_to(self) -> int:
        """What maxmemory may be raised to, 0 when that would be no help."""
        most = safe_maxmemory(self.ceiling.bytes)
        return most if self.limit and most > self.limit * 1.05 and most > self.used * 1.05 else 0


def _is_database(name: str) -> bool:
    return name.startswith("db") and name[2:].isdigit()


def memory_finding(info: Info, ceiling: Ceiling, limits: Limits, *, cache_only: bool) -> Dict[str, Any]:
    """Return the finding `redis_memory`: near its limit, and whether it can make room by itself."""
    memory = Memory.of(info, ceiling)
    status = above(memory.percent, limits["memory_warn_percent"], limits["memory_fail_percent"])
    if status == "fail" and memory.limit and memory.evictable:
        status = "warn"
    evicted, notes = info.number("evicted_keys"), []
    if evicted and not cache_only:
        status = "warn" if status == "ok" else status
        notes.append("%s evicted since its start, and it holds more than a cache" % plural(evicted, "key"))
    if memory.limit > ceiling.bytes > 0:
        status = "warn" if status == "ok" else status
        notes.append("the kernel ends it before it reaches that")
    if memory.raise_to:
        notes.append("maxmemory may be raised to %s" % size(memory.raise_to))
    of = "%s (maxmemory, %s)" % (size(memory.limit), memory.policy) if memory.limit else ceiling.describe()
    summary = "Redis uses %s of %s: %.0f %%" % (size(memory.used), of, memory.percent)
    return finding(
        "redis_memory",
        status,
        "; ".join([summary, *notes]) + ".",
        observed={
            "used": memory.used,
            "maxmemory": memory.limit,
            "policy": memory.policy,
            "evictable": memory.evictable,
            "percent": round(memory.percent, 1),
            "ceiling": ceiling.bytes,
            "ceiling_of": ceiling.source,
            "raise_to": memory.raise_to,
            "cache_only": cache_only,
            "evicted_keys": evicted,
            "fragmentation": float(info.get("mem_fragmentation_ratio") or 0),
        },
        expected={"percent_below": limits["memory_warn_percent"]},
    )


def persistence_finding(info: Info, settings: Settings, *, cache_only: bool) -> Dict[str, Any]:
    """Return the finding `redis_persistence`: whether what it holds gets to disk, and what stops writes."""
    saves = bool(settings.get("save", "unknown"))
    appends = info.has("aof_enabled", "1")
    failed = not info.has("rdb_last_bgsave_status", "ok")
    strict = settings.get("stop-writes-on-bgsave-error", "yes") == "yes"
    grave: List[str] = []
    light: List[str] = []
    if failed:
        blocks = strict and saves
        (grave if blocks else light).append(
            "the last snapshot failed%s" % (", so it refuses writes" if blocks else "")
        )
    if appends and not info.has("aof_last_write_status", "ok"):
        grave.append("it cannot write to its append-only file")
    if appends and not info.has("aof_last_bgrewrite_status", "ok"):
        light.append("the last rewrite of the append-only file failed")
    if not saves and not appends and not cache_only:
        light.append("nothing is kept on disk, and it holds more than a cache")
    changes, age = info.number("rdb_changes_since_last_save"), time.time() - info.number("rdb_last_save_time")
    ways = [way for way, used in (("an append-only file", appends), ("snapshots", saves)) if used]
    summary = "Redis keeps its data in %s; the last snapshot is %s old, %s since" % (
        " and ".join(ways) or "memory alone",
        span(max(0.0, age)),
        plural(changes, "change"),
    )
    return finding(
        "redis_persistence",
        "fail" if grave else "warn" if light else "ok",
        "; ".join([summary, *grave, *light]) + ".",
        observed={
            "aof": appends,
            "snapshots": saves,
            "last_snapshot": info.get("rdb_last_bgsave_status", "unknown"),
            "blocks_writes": bool(grave),
            "aof_write": info.get("aof_last_write_status", "unknown"),
            "changes_since": changes,
            "snapshot_age_s": round(age),
            "dir": settings.get("dir", ""),
            "file": settings.get("dbfilename", ""),
        },
        expected={"last_snapshot": "ok", "aof_write": "ok"},
    )


def role_finding(info: Info, expected: str) -> Dict[str, Any]:
    """Return the finding `redis_role`; `expected` is primary, replica or any."""
    role = "replica" if info.has("role", "slave") else "primary"
    wrong = expected not in ("any", role)
    observed: Dict[str, Any] = {"role": role, "replicas": info.number("connected_slaves")}
    if role == "replica":
        link = info.get("master_link_status", "unknown")
        down = info.number("master_link_down_since_seconds")
        host, port = info.get("master_host", ""), info.number("master_port")
        observed.update(follows={"host": host, "port": port}, link=link, link_down_s=down)
        summary = "It is a replica of %s:%d, the link is %s" % (host, port, link)
        if link != "up":
            summary += " (for %s)" % span(down) if down >= 0 else ""
    else:
        summary = "It is a primary with %s" % plural(observed["replicas"], "replica")
    if wrong:
        summary += ", but should be a %s" % expected
    broken = role == "replica" and observed["link"] != "up"
    return finding(
        "redis_role",
        "fail" if wrong or broken else "ok",
        summary + ".",
        observed=observed,
        expected={"role": expected},
    )


def clients_finding(info: Info, settings: Settings, limits: Limits) -> Dict[str, Any]:
    """Return the finding `redis_clients`: how many of the connections are taken."""
    connected = info.number("connected_clients")
    most = info.number("maxclients") or int(settings.get("maxclients") or 0)
    percent = 100.0 * connected / most if most else 0.0
    blocked, rejected = info.number("blocked_clients"), info.number("rejected_connections")
    return finding(
        "redis_clients",
        above(percent, limits["clients_warn_percent"], limits["clients_fail_percent"]),
        "%d of %d connections are taken, %d wait for something to come; %d were turned away since its start."
        % (connected, most, blocked, rejected),
        observed={
            "connected": connected,
            "maxclients": most,
            "percent": round(percent, 1),
            "blocked": blocked,
            "rejected": rejected,
        },
        expected={"percent_below": limits["clients_warn_percent"]},
    )


def count_keys(client: Client, info: Info, queues: Sequence[str]) -> Dict[str, Any]:
    """Return how many keys each database has, and how long each of the `queues` (of database 0) is."""
    return {"keys": info.databases(), "queues": {name: _length(client, name) for name in queues}}


def _length(client: Client, name: str) -> int:
    kind = client.call("TYPE", name)
    return int(client.call(_LENGTH[kind], name)) if kind in _LENGTH else int(kind != "none")


def keys_finding(counted: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the finding `redis_keys`, to compare before and after; it judges nothing."""
    total, parts = sum(counted["keys"].values()), []
    for name, length in counted["queues"].items():
        parts.append("%s %d" % (name, length))
    text = "Redis holds %s" % plural(total, "key")
    if parts:
        text += "; queues: " + ", ".join(parts)
    return finding("redis_keys", "ok", text + ".", observed=dict(counted, total=total))


def lost_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> List[str]:
    """Return one phrase for each database or queue that has fewer entries than before."""
    found = []
    for what in ("keys", "queues"):
        for name, count in before[what].items():
            now = after[what].get(name, 0)
            if now < count:
                found.append("%s has %d instead of %d" % (name, now, count))
    return found
