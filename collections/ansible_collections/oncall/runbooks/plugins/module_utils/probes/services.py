# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every service of a host at once: whether it runs, answers, complains, and has its settings."""

from __future__ import annotations

__metaclass__ = type

from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.http import Answer
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.readiness import (
    READY_CHECKS,
    READY_SPEC,
    checks_of,
    measure_ready,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runtime import measure_runtime
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.service_errors import ANSWERS_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.service_log import measure_service_log
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.service_settings import measure_settings
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.usage import CHECKS as USAGE_CHECKS
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.usage import LIMIT_SPEC, measure_usage
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import (
    RUNTIME_SPEC,
    choose_provider,
    env_file_of,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import (
    HEALTH_SPEC,
    ask_health,
    health_sentence,
)

CHECKS = (
    "service_runtime",
    "service_health",
    *READY_CHECKS,
    "service_log",
    "service_errors",
    "service_settings",
    "tunnel_connections",
)
# A provider's own time limit has to end before its probe's, so that its reason is told instead of "late".
GRACE = 1.0

SERVICE_SPEC: Dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "part": {"type": "str", "required": True},
    "runtime": {"type": "dict", "options": RUNTIME_SPEC, "required": True},
    "health": {"type": "dict", "options": HEALTH_SPEC},
    "ready": {"type": "dict", "options": READY_SPEC},
    "connections": {
        "type": "dict",
        "options": {
            "field": {"type": "str", "default": "readyConnections"},
            "warn_below": {"type": "int", "default": 2},
        },
    },
    "log": {
        "type": "dict",
        "default": {},
        "apply_defaults": True,
        "options": {
            "patterns": {"type": "dict", "default": {}},
            "window_minutes": {"type": "float", "default": 15.0},
            "answers": ANSWERS_SPEC,
        },
    },
    "settings": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "min_length": {"type": "int", "default": 1},
            "number": {"type": "int"},
            "value": {"type": "str", "no_log": True},
        },
    },
    "precheck": {"type": "list", "elements": "str", "default": []},
    "hint": {"type": "str", "default": ""},
    "usage": LIMIT_SPEC,
}

Findings = Iterable[Dict[str, Any]]


def service_probes(
    services: Iterable[Mapping[str, Any]], checks: Iterable[str], timeout: float
) -> List[Probe]:
    """Return the probes of all `services` that measure one of `checks`; `timeout` in seconds for each."""
    wanted = set(checks)
    probes: List[Probe] = []
    for service in services:
        provider = choose_provider(service["runtime"], timeout=timeout)
        probes += [p for p in _probes(service, provider, timeout) if wanted.intersection(p.checks)]
    return probes


def usage_probe(services: Iterable[Mapping[str, Any]], rule: Mapping[str, Any], timeout: float) -> Probe:
    """Return the probe of what all `services` and everybody else use, by the option `usage`."""
    looked_at = [(one, choose_provider(one["runtime"], timeout=timeout)) for one in services]
    seconds = rule["samples"] * rule["interval"] + timeout + GRACE
    return Probe(USAGE_CHECKS, lambda: measure_usage(looked_at, rule), seconds)


def _probes(service: Mapping[str, Any], provider: Provider, timeout: float) -> Iterator[Probe]:
    about, hint = {"service": service["name"], "part": service["part"]}, service["hint"]

    def probe(checks: Any, measure: Callable[[], Findings], late: str = "unknown", more: float = 0) -> Probe:
        told = partial(_told, about, hint, measure)
        return Probe(checks, told, timeout + GRACE + more, late, about)

    yield probe(("service_runtime",), partial(measure_runtime, provider, "service_runtime"), "fail")
    if service["log"]["window_minutes"] > 0:
        names = ("service_log", "service_errors") if service["log"].get("answers") else ("service_log",)
        yield probe(names, partial(measure_service_log, provider, service["log"]))
    if service.get("health"):
        names = (
            ("service_health", "tunnel_connections") if service.get("connections") else ("service_health",)
        )
        more = max(0.0, service["health"]["timeout"] - timeout)
        yield probe(names, partial(measure_service_health, service), "fail", more)
    if service.get("ready"):
        ready = service["ready"]
        more = max(0.0, ready["timeout"] - timeout)
        yield probe(checks_of(ready), partial(measure_ready, ready), "fail", more)
    if service.get("settings"):
        path = env_file_of(service["runtime"])
        yield probe(("service_settings",), partial(measure_settings, provider, path, service["settings"]))


def _told(about: Mapping[str, Any], hint: str, measure: Callable[[], Findings]) -> Iterator[Dict[str, Any]]:
    """Say in each finding which service it is about, and in a bad one what to do."""
    for found in measure():
        found["observed"] = {**about, **(found["observed"] or {})}
        found["summary"] = "%s: %s" % (about["service"], found["summary"])
        if hint and found["status"] == "fail":
            found["summary"] += " Next: %s" % hint
        yield found


def measure_service_health(service: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """Yield whether the service answers as it should and, for a tunnel, how many connections it holds."""
    health = service["health"]
    answer = ask_health(health)
    silent = answer.status is None
    # A tunnel serves without its metrics address: that nobody listens there does not mean it is down.
    status = "ok" if not answer.reason else "unknown" if silent and service.get("connections") else "fail"
    yield finding(
        "service_health",
        status,
        health_sentence(health["url"], answer),
        observed=dict(answer.as_dict(), url=health["url"]),
        expected={"status": health["status"], "json": health.get("json")},
    )
    if service.get("connections"):
        yield _connections(service["connections"], answer)


def _connections(rule: Mapping[str, Any], answer: Answer) -> Dict[str, Any]:
    count = answer.body.get(rule["field"]) if isinstance(answer.body, dict) else None
    if not isinstance(count, int):
        return finding(
            "tunnel_connections",
            "unknown",
            "how many connections the tunnel holds is not known: %s" % (answer.problem or "no such field"),
            observed={"connections": None},
            expected={"connections_at_least": rule["warn_below"]},
        )
    status = "fail" if count == 0 else "warn" if count < rule["warn_below"] else "ok"
    return finding(
        "tunnel_connections",
        status,
        "the tunnel holds %d connections to the edge." % count,
        observed={"connections": count},
        expected={"connections_at_least": rule["warn_below"]},
    )
