# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Change limits of a running Redis, keep them over a restart, and never at the price of a key."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.address import login_of
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.ceiling import Ceiling, safe_maxmemory
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import (
    Client,
    ErrorReply,
    session,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.health import ceiling_of
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.info import Info, ask_info, ask_settings
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.state import count_keys, lost_keys

#: option of the module → name of the setting
NAMES = {"maxmemory": "maxmemory", "maxmemory_policy": "maxmemory-policy", "maxclients": "maxclients"}
POLICIES = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)
AUTO = "auto"
# A limit that is reached again at once is no help.
_AIR = 1.05


def configure(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Set what `params` name and return the module's result; in check mode only say what would be set.

    Raises UsageError or ConflictError, and changes nothing, when a value would cost keys or the server its
    life; VerificationError when the server does not have the value afterwards.
    """
    with session(login_of(params), timeout=params["timeout"]) as client:
        info = ask_info(client)
        before = _current(client)
        wanted = _wanted(params, before, info, ceiling_of(params, info))
        changes = {name: value for name, value in wanted.items() if before[name] != value}
        result = _predicted(before, changes)
        if changes and not check_mode:
            counted = count_keys(client, info, params["queues"])
            _set(client, changes)
            result["persisted"] = _rewrite(client)
            after = count_keys(client, ask_info(client), params["queues"])
            result["keys"] = {"before": counted, "after": after, "fewer": lost_keys(counted, after)}
        return result


def _current(client: Client) -> Dict[str, str]:
    found = ask_settings(client, *NAMES.values())
    missing = [name for name in NAMES.values() if name not in found]
    if missing:
        raise UsageError(
            "read the settings of Redis",
            on=client.login.address,
            got="CONFIG GET does not tell %s" % ", ".join(missing),
            next_step="log in as a user that may use CONFIG",
        )
    return {name: found[name] for name in NAMES.values()}


def _wanted(
    params: Mapping[str, Any], before: Mapping[str, str], info: Info, ceiling: Ceiling
) -> Dict[str, str]:
    wanted: Dict[str, str] = {}
    policy = params.get("maxmemory_policy") or before["maxmemory-policy"]
    if params.get("maxmemory_policy"):
        _refuse_eviction(
            policy, before["maxmemory-policy"], cache_only=params["cache_only"] or params["undone"]
        )
        wanted["maxmemory-policy"] = policy
    if params.get("maxmemory"):
        asked = _bytes_of(params["maxmemory"], ceiling)
        _refuse_memory(asked, info, ceiling, policy, params)
        wanted["maxmemory"] = str(asked)
    if params.get("maxclients"):
        wanted["maxclients"] = str(params["maxclients"])
    if not wanted:
        raise UsageError("change Redis", got="no setting is given", next_step="set maxmemory, for example")
    return wanted


def _refuse_eviction(policy: str, before: str, *, cache_only: bool) -> None:
    if policy in ("noeviction", before) or cache_only:
        return
    raise ConflictError(
        "let Redis evict keys",
        on=policy,
        got="this server holds more than a cache: sessions, queues or limits would be thrown away",
        next_step="raise maxmemory instead; say that it is only a cache when it is",
    )


def _bytes_of(text: str, ceiling: Ceiling) -> int:
    units = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}
    low = str(text).strip().lower()
    digits = low.rstrip("bkmg")
    if low == AUTO and ceiling.bytes:
        return safe_maxmemory(ceiling.bytes)
    if not digits.isdigit() or low[len(digits) :] not in units:
        got = "the limit of the host is not known" if low == AUTO else "%r is no size" % text
        raise UsageError("set maxmemory", got=got, next_step="give a number of bytes, or one such as 512mb")
    return int(digits) * units[low[len(digits) :]]


def _refuse_memory(asked: int, info: Info, ceiling: Ceiling, policy: str, params: Mapping[str, Any]) -> None:
    used, most = info.number("used_memory"), safe_maxmemory(ceiling.bytes)
    evicts = policy != "noeviction" and not params["cache_only"]
    if params["undone"]:
        # Back to what it was: a limit below what is used costs nothing as long as nothing is evicted.
        if asked and asked < used and evicts:
            raise ConflictError(
                "lower maxmemory to %s again" % size(asked),
                got="%s are used, and %s would throw keys away that are not only a cache"
                % (size(used), policy),
                next_step="make room first, or set maxmemory-policy to noeviction before",
            )
        return
    if ceiling.bytes and asked > most:
        raise ConflictError(
            "set maxmemory to %s" % size(asked),
            got="%s of %s is the most that leaves room for a snapshot" % (size(most), ceiling.describe()),
            next_step="enlarge the container or the host first, or ask for less",
        )
    if asked < used * _AIR:
        raise ConflictError(
            "set maxmemory to %s" % size(asked),
            got="%s are used already; the most that is safe here is %s (%s)"
            % (size(used), size(most), ceiling.describe()),
            next_step="enlarge the container or the host first: maxmemory cannot help",
        )


def _predicted(before: Mapping[str, str], changes: Mapping[str, str]) -> Dict[str, Any]:
    def text(values: Mapping[str, str]) -> str:
        return "".join("%s %s\n" % (name, values[name]) for name in sorted(changes))

    told = ", ".join("%s from %s to %s" % (n, before[n], v) for n, v in sorted(changes.items()))
    result: Dict[str, Any] = {
        "changed": bool(changes),
        "before": dict(before),
        "diff": {"before": text(before), "after": text(changes)},
        "prediction": {
            "summary": "Redis changes %s while it runs" % told if changes else "nothing has to change",
            "duration_s": 0.1,
            "data_loss": _loss(changes),
        },
    }
    if changes:
        options = {setting: option for option, setting in NAMES.items()}
        result["undo"] = {
            "summary": "Set %s to what it was." % ", ".join(sorted(changes)),
            "reversible": True,
            "role": "oncall.runbooks.redis",
            "entry_point": "configure_undo",
            "args": {options[name]: before[name] for name in changes},
        }
    return result


def _loss(changes: Mapping[str, str]) -> str:
    evicting = changes.get("maxmemory-policy", "noeviction") != "noeviction"
    return "what the cache evicts can be made again" if evicting else "none"


def _set(client: Client, changes: Mapping[str, str]) -> None:
    changed = False
    for name, value in changes.items():
        try:
            client.call("CONFIG", "SET", name, value, tried="set %s to %s" % (name, value))
        except RedisError as exc:
            exc.changed = changed
            raise
        changed = True
    now = _current(client)
    wrong = ["%s is %s" % (name, now[name]) for name, value in changes.items() if now[name] != value]
    if wrong:
        error = VerificationError("change Redis", on=client.login.address, got=", ".join(wrong))
        error.changed = True
        raise error


def _rewrite(client: Client) -> Dict[str, Any]:
    """Write the settings to the server's file, so that a restart keeps them; say why where it cannot be."""
    reply = client.all([("CONFIG", "REWRITE")])[0]
    if isinstance(reply, ErrorReply):
        why = "a restart loses this change: %s" % reply.text
        return {"persisted": False, "summary": why, "next_step": "put it into the file that it starts with"}
    return {"persisted": True, "summary": "the change is in the file that it starts with", "next_step": ""}
