# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have Redis write a snapshot and wait for its end: after a good one it takes writes again."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Callable, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, size
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.address import login_of
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Client, session
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.info import Info, ask_info


def save(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Write a snapshot unless the last one is good and nothing changed since; return the module's result."""
    with session(login_of(params), timeout=params["timeout"]) as client:
        info = ask_info(client)
        needed = (
            not info.has("rdb_last_bgsave_status", "ok") or info.number("rdb_changes_since_last_save") > 0
        )
        result = _predicted(info, needed)
        if needed and not check_mode:
            result["duration_s"] = round(take_snapshot(client, wait=params["save_timeout"]), 2)
        return result


def take_snapshot(
    client: Client,
    *,
    wait: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Have a snapshot written and return the seconds it took.

    Raises VerificationError with what the server says when it fails or is not done within `wait` seconds.
    """
    started = clock()
    if ask_info(client).has("rdb_bgsave_in_progress", "0"):
        client.call("BGSAVE", tried="write a snapshot")
    while True:
        info = ask_info(client)
        if info.has("rdb_bgsave_in_progress", "0"):
            break
        if clock() - started > wait:
            raise _failed(client, "it is not done after %g s" % wait)
        sleep(0.1)
    if not info.has("rdb_last_bgsave_status", "ok"):
        raise _failed(client, "it failed; its own log says why")
    return clock() - started


def _failed(client: Client, got: str) -> VerificationError:
    return VerificationError(
        "write a snapshot of Redis",
        on=client.login.address,
        got=got,
        next_step="read redis_log: make room on the disk, or remove what is in the way of the file",
    )


def _predicted(info: Info, needed: bool) -> Dict[str, Any]:
    changes, used = info.number("rdb_changes_since_last_save"), info.number("used_memory")
    summary = "nothing changed since the last snapshot, which is good"
    if needed:
        told = (plural(changes, "change"), size(used))
        summary = "a snapshot with %s since the last one is written, at most %s" % told
    before = info.get("rdb_last_bgsave_status", "unknown")
    return {
        "changed": needed,
        "prediction": {
            "summary": summary,
            "duration_s": float(max(1, info.number("rdb_last_bgsave_time_sec"))),
            "data_loss": "none",
        },
        "diff": {"before": "last snapshot: %s\n" % before, "after": "last snapshot: ok\n" if needed else ""},
        "undo": {"summary": "A snapshot has nothing to take back: no key is changed.", "reversible": False},
    }
