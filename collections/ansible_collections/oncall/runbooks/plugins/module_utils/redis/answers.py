# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether Redis answers, and takes a write: PONG alone proves neither a login nor a write."""

from __future__ import annotations

__metaclass__ = type

import time
import uuid
from typing import Any, Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import above
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import span
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Client, ErrorReply
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError, refused
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.info import Info

CANARY_PREFIX = "oncall:canary:"
# Should the transaction be cut in the middle, the key is gone after so many seconds.
_CANARY_LIFE = 10
_PINGS = 10


def try_write(client: Client) -> None:
    """Write a key, read it and delete it in one transaction; raises RedisError with the reason of a refusal.

    Nobody sees the key, and it does not outlive a connection that breaks.
    """
    key, value = CANARY_PREFIX + uuid.uuid4().hex, uuid.uuid4().hex
    commands = [("MULTI",), ("SET", key, value, "EX", _CANARY_LIFE), ("GET", key), ("DEL", key), ("EXEC",)]
    replies = client.all(commands, tried="write to Redis")
    result = replies[-1] if isinstance(replies[-1], list) else []
    for reply in [*replies[:-1], *result, replies[-1]]:
        if isinstance(reply, ErrorReply):
            raise refused("write to Redis", client.login.address, reply.text)
    if result[1:] != [value, 1]:
        raise RedisError(
            "write to Redis",
            on=client.login.address,
            got="what was written did not come back: %r" % (result,),
            next_step="see what else is between here and the server",
            kind="not_stored",
        )


def answers_finding(problem: Optional[RedisError], info: Info) -> Dict[str, Any]:
    """Return the finding `redis_answers` of a server that was asked PING, with what came instead of PONG.

    A primary that cannot save refuses PING as it refuses writes, and goes on to serve reads: it answers.
    """
    if problem is None or problem.kind == "misconf":
        uptime = info.number("uptime_in_seconds")
        version = info.get("redis_version", "unknown")
        return finding(
            "redis_answers",
            "ok",
            "Redis %s answers; it is up %s." % (version, span(uptime)),
            observed={
                "answers": True,
                "kind": problem.kind if problem else "",
                "version": version,
                "uptime_s": uptime,
            },
            expected={"answers": True},
        )
    observed = dict(problem.as_dict(), answers=False)
    summary = problem.message
    if problem.kind == "loading" and info:
        observed["loaded_percent"] = float(info.get("loading_loaded_perc") or 0)
        observed["eta_s"] = info.number("loading_eta_seconds")
        summary += " %.0f %% are read, %s to go." % (observed["loaded_percent"], span(observed["eta_s"]))
    return finding("redis_answers", "fail", summary, observed=observed, expected={"answers": True})


def writes_finding(client: Client) -> Dict[str, Any]:
    """Return the finding `redis_writes`: whether a key can be written, read and deleted."""
    started = time.monotonic()
    try:
        try_write(client)
    except RedisError as problem:
        return finding(
            "redis_writes",
            "fail",
            problem.message,
            observed=dict(problem.as_dict(), writes=False),
            expected={"writes": True},
        )
    spent = time.monotonic() - started
    return finding(
        "redis_writes",
        "ok",
        "Redis took a write and gave it back in %.1f ms." % (spent * 1000),
        observed={"writes": True, "kind": "", "seconds": round(spent, 4)},
        expected={"writes": True},
    )


def latency_finding(client: Client, warn_ms: float, fail_ms: float) -> Dict[str, Any]:
    """Return the finding `redis_latency`: how long answers take, and the slowest commands since the start."""
    times = []
    for _attempt in range(_PINGS):
        started = time.monotonic()
        client.all([("PING",)])
        times.append((time.monotonic() - started) * 1000)
    times.sort()
    median, slow = times[len(times) // 2], _slow_commands(client)
    summary = "An answer takes %.1f ms, at most %.1f ms" % (median, times[-1])
    if slow:
        summary += "; the slowest command of late was %s with %.0f ms" % (slow[0]["command"], slow[0]["ms"])
    return finding(
        "redis_latency",
        above(median, warn_ms, fail_ms),
        summary + ".",
        observed={"median_ms": round(median, 2), "max_ms": round(times[-1], 2), "slow": slow},
        expected={"median_ms_below": warn_ms},
    )


def _slow_commands(client: Client) -> List[Dict[str, Any]]:
    """Only the names: arguments hold what users stored."""
    entries = client.all([("SLOWLOG", "GET", 10)])[0]
    if not isinstance(entries, list):
        return []
    found = [{"command": str(e[3][0]).upper(), "ms": e[2] / 1000.0, "at": e[1]} for e in entries if e[3]]
    return sorted(found, key=lambda entry: -entry["ms"])[:5]
