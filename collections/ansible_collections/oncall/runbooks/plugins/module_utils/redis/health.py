# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All probes of a Redis and its host, put together from the options of one module call."""

from __future__ import annotations

__metaclass__ = type

import time
from contextlib import closing, suppress
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import host
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe, run_wanted
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runtime import measure_runtime
from ansible_collections.oncall.runbooks.plugins.module_utils.redis import answers, credentials, state
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.address import login_of
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.ceiling import Ceiling, measure_ceiling
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import Client
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import RedisError
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.info import Info, ask_info, ask_settings
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.log import measure_redis_log
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider

# The client's time limit has to end before the probe's, so that its reason is told instead of "late".
_GRACE = 1.5
_SERVER = (
    "redis_writes",
    "redis_memory",
    "redis_persistence",
    "redis_role",
    "redis_clients",
    "redis_latency",
    "redis_keys",
)
CHECKS = (
    "data_disk",
    "data_inodes",
    "memory",
    "load",
    "redis_runtime",
    "redis_log",
    "redis_answers",
    *_SERVER,
    "redis_credentials",
)
#: what of `thresholds` is the host's; what begins with memory_ is Redis's own
ON_DISK = ("disk_", "inode_")
#: option of `thresholds` → default: percent of what may be used, milliseconds, hours
THRESHOLDS: Dict[str, float] = {
    "memory_warn_percent": 85.0,
    "memory_fail_percent": 98.0,
    "clients_warn_percent": 80.0,
    "clients_fail_percent": 95.0,
    "latency_warn_ms": 20.0,
    "latency_fail_ms": 500.0,
    "log_hours": 24.0,
}
#: options that every module has which looks at what a server holds and may take
SERVER_SPEC: Dict[str, Any] = {
    "cache_only": {"type": "bool", "default": False},
    "queues": {"type": "list", "elements": "str", "default": []},
    "memory_limit": {"type": "int", "default": 0},
    "timeout": {"type": "float", "default": 3.0},
}
# Of a server that refuses PING for one of these reasons, INFO still tells the rest.
_STILL_TELLS = ("loading", "master_down", "misconf")


def measure_health(
    params: Mapping[str, Any], now: Callable[[], float] = time.monotonic
) -> List[Dict[str, Any]]:
    """Measure everything until nothing fails, for `wait` seconds at most, and return the last findings."""
    deadline = now() + params["wait"]
    while True:
        found = _once(params)
        if now() >= deadline or all(finding["status"] in ("ok", "warn") for finding in found):
            return found
        time.sleep(0.3)


def _once(params: Mapping[str, Any]) -> List[Dict[str, Any]]:
    limits = {name: limit for name, limit in params["thresholds"].items() if name.startswith(ON_DISK)}
    on_host = dict(params, thresholds=limits, docker_root="")
    probes = host.host_probes(on_host) + _runtime_probes(params) + _server_probes(params)
    return run_wanted(probes, params.get("checks") or CHECKS)


def _runtime_probes(params: Mapping[str, Any]) -> List[Probe]:
    if not params.get("runtime"):
        return []
    seconds, hours = params["timeout"], params["thresholds"]["log_hours"]
    make = partial(choose_provider, params["runtime"], timeout=seconds)
    secrets = [params.get("login_password") or ""]
    running = partial(measure_runtime, make(), "redis_runtime")
    reading = partial(measure_redis_log, make(), hours, secrets)
    return [
        Probe(("redis_runtime",), running, seconds + _GRACE, "fail"),
        Probe(("redis_log",), reading, seconds + _GRACE),
    ]


def _server_probes(params: Mapping[str, Any]) -> List[Probe]:
    seconds = params["timeout"]
    probes = [
        # An answer that takes longer than this one would not be taken for one by any client.
        Probe(("redis_answers",), partial(measure_answers, params), seconds + _GRACE, "fail"),
        Probe(_SERVER, partial(measure_server, params), seconds + _GRACE),
    ]
    clients = params.get("clients") or []
    if clients:
        trying = partial(_credentials, clients, params)
        probes.append(Probe(("redis_credentials",), trying, len(clients) * 2 * seconds + _GRACE))
    return probes


def _credentials(clients: List[Mapping[str, Any]], params: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    yield from credentials.measure_credentials(clients, login_of(params), params["timeout"])


def measure_answers(params: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """Yield `redis_answers`."""
    try:
        client = Client(login_of(params), timeout=params["timeout"])
    except RedisError as refusal:
        yield answers.answers_finding(refusal, Info())
        return
    with closing(client):
        yield answers.answers_finding(*_greet(client))


def measure_server(params: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """Yield what one session tells beside that; raises the reason why nothing can be told."""
    with closing(Client(login_of(params), timeout=params["timeout"])) as client:
        problem, info = _greet(client)
        if problem is not None and problem.kind not in _STILL_TELLS:
            raise problem
        yield answers.writes_finding(client)
        settings = ask_settings(client, *state.SETTINGS)
        limits, cache_only = params["thresholds"], params["cache_only"]
        yield state.memory_finding(info, ceiling_of(params, info), limits, cache_only=cache_only)
        yield state.persistence_finding(info, settings, cache_only=cache_only)
        yield state.role_finding(info, params["expected_role"])
        yield state.clients_finding(info, settings, limits)
        yield answers.latency_finding(client, limits["latency_warn_ms"], limits["latency_fail_ms"])
        if problem is None:
            yield state.keys_finding(state.count_keys(client, info, params["queues"]))


def _greet(client: Client) -> Tuple[Optional[RedisError], Info]:
    """Log in and ask PING and INFO; return what was refused."""
    try:
        client.log_in()
        client.call("PING")
    except RedisError as exc:
        return exc, ask_info(client) if exc.kind in _STILL_TELLS else Info()
    return None, ask_info(client)


def ceiling_of(params: Mapping[str, Any], info: Info) -> Ceiling:
    """Return how much memory the server of a module's options (runtime, memory_limit) may take."""
    pid = 0
    if params.get("runtime"):
        with suppress(OncallError):
            pid = choose_provider(params["runtime"], timeout=params["timeout"]).state().pid
    return measure_ceiling(pid, params["memory_limit"], info.number("total_system_memory"))
