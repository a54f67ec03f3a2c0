# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All probes of a database and its host, put together from the options of one module call."""

from __future__ import annotations

__metaclass__ = type

from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import (
    activity,
    data,
    host,
    log,
    runtime,
    server,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe, run_wanted
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider

# libpq's own time limit has to end before the probe's, so that its reason is told instead of "late".
GRACE = 1.5


CHECKS = (
    "data_disk",
    "data_inodes",
    "docker_disk",
    "memory",
    "load",
    "postgres_runtime",
    "postgres_log",
    "postgres_accepts",
    "postgres_answers",
    "postgres_writes",
    *activity.CHECKS,
    "postgres_data",
)


def measure_health(params: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Measure everything at the same time and return the findings, at least one for each check asked for."""
    probes = host.host_probes(params) + _runtime_probes(params) + _server_probes(params)
    return run_wanted(probes, params.get("checks") or CHECKS)


def _runtime_probes(params: Mapping[str, Any]) -> List[Probe]:
    if not params.get("runtime"):
        return []
    limits, seconds = params["thresholds"], params["timeout"]
    make = partial(choose_provider, params["runtime"], timeout=seconds, log_path=params.get("log_path") or "")
    secrets = [params.get("login_password") or ""]
    return [
        Probe(("postgres_runtime",), lambda: runtime.measure_runtime(make()), seconds + GRACE, "fail"),
        Probe(("postgres_log",), lambda: log.measure_log(make(), limits, secrets), seconds + GRACE),
    ]


def _server_probes(params: Mapping[str, Any]) -> List[Probe]:
    login = Login.from_params(params, application_name="oncall-health")
    name, seconds, limits = params["database"], params["timeout"], params["thresholds"]

    def probe(
        checks: Any, measure: Callable[[], Iterable[Dict[str, Any]]], when_late: str = "unknown"
    ) -> Probe:
        return Probe(checks, measure, seconds + GRACE, when_late)

    return [
        probe(("postgres_accepts",), lambda: server.measure_accepts(login, seconds), "fail"),
        probe(("postgres_answers",), lambda: server.measure_answers(login, name, seconds), "fail"),
        probe(("postgres_writes",), lambda: server.measure_writes(login, name, seconds)),
        probe(activity.CHECKS, lambda: activity.measure_activity(login, name, limits, seconds)),
        probe(
            ("postgres_data",),
            lambda: data.measure_data(login, name, params["expected_tables"], limits, seconds),
        ),
    ]
