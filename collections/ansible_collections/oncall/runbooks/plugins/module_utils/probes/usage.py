# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who uses the processors and the memory of a host: services against their limits, and what is none."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import os
import pwd
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.samples import (
    Sample,
    busy_percents,
    control_group,
    group_memory,
    group_processors,
    not_for_judgement,
    private_memory,
    take_samples,
    tree,
    used_percents,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider

CHECKS = ("service_usage", "process_usage", "processors")
TOP = 5
# What a platform puts into a control group of its own, of which nobody else is a member.
_IN_GROUPS = ("docker", "compose", "systemd")
# Of the host's memory, what stays free when a limit is raised.
_HEADROOM_PERCENT = 15.0

USAGE_SPEC: Dict[str, Any] = {
    "type": "dict",
    "default": {},
    "apply_defaults": True,
    "options": {
        "samples": {"type": "int", "default": 0},
        "interval": {"type": "float", "default": 1.0},
        "memory_fail_percent": {"type": "float", "default": 85.0},
        "processor_fail_percent": {"type": "float", "default": 80.0},
        "host_fail_percent": {"type": "float", "default": 80.0},
        "process_fail_percent": {"type": "float", "default": 80.0},
        "process_age": {"type": "float", "default": 600.0},
    },
}
#: what an inventory knows of one service's limits, where its platform does not tell
LIMIT_SPEC: Dict[str, Any] = {
    "type": "dict",
    "options": {
        "memory_limit": {"type": "int", "default": 0},
        "memory_limit_setting": {"type": "str", "default": ""},
        "processors": {"type": "float", "default": 0.0},
    },
}

Service = Tuple[Mapping[str, Any], Provider]
Findings = Iterator[Dict[str, Any]]


@dataclass
class _Use:
    """What one service uses: bytes, the limit (0: none), percents of its processors, kills for memory."""

    pids: Set[int] = field(default_factory=set)
    memory: int = 0
    limit: int = 0
    processors: float = 0.0
    percents: List[float] = field(default_factory=list)
    kills: int = 0


def measure_usage(services: Sequence[Service], rule: Mapping[str, Any]) -> Findings:
    """Yield `service_usage` for each service that runs, then `process_usage` and `processors`.

    One look at a processor says nothing, so several are taken; what is too much was so in each of them.
    """
    samples = take_samples(rule["samples"], rule["interval"])
    owned: Set[int] = set()
    for service, provider in services:
        try:
            use = _use(service, provider, samples)
        except (OncallError, OSError) as exc:
            yield _unknown(service, exc)
            continue
        owned |= use.pids
        yield _judged(service, use, rule)
    yield _others(samples, owned, rule)
    yield _host(samples, rule)


def _unknown(service: Mapping[str, Any], error: Exception) -> Dict[str, Any]:
    said = error.message if isinstance(error, OncallError) else str(error)
    about = {"service": service["name"], "part": service["part"]}
    return finding(
        "service_usage", "unknown", "%s: not measured: %s" % (service["name"], said), observed=about
    )


def _use(service: Mapping[str, Any], provider: Provider, samples: Sequence[Sample]) -> _Use:
    told, state, processes = service.get("usage") or {}, provider.state(), samples[-1].processes
    if not state.running or not state.pid:
        return _Use()
    group = control_group(state.pid) if provider.kind in _IN_GROUPS else ""
    if group:
        use = _Use({pid for pid in processes if control_group(pid) == group})
        use.memory, use.limit, use.kills = group_memory(group)
        use.processors = group_processors(group)
    else:
        use = _Use(tree(processes, state.pid))
    use.memory = use.memory or private_memory(use.pids)
    use.limit = told.get("memory_limit") or use.limit or _limit_of(told, provider)
    use.processors = told.get("processors") or use.processors or float(os.cpu_count() or 1)
    use.percents = [percent / use.processors for percent in used_percents(samples, use.pids)]
    return use


def _limit_of(told: Mapping[str, Any], provider: Provider) -> int:
    name = told.get("memory_limit_setting")
    return provider.environment([name], [name])[name].number or 0 if name else 0


def _judged(service: Mapping[str, Any], use: _Use, rule: Mapping[str, Any]) -> Dict[str, Any]:
    percent = 100.0 * use.memory / use.limit if use.limit else 0.0
    least = min(use.percents, default=0.0)
    full, busy = percent >= rule["memory_fail_percent"], least >= rule["processor_fail_percent"]
    limit = "of %s (%.0f %%)" % (size(use.limit), percent) if use.limit else "without a limit"
    text = "%s: %s of memory %s, %.0f %% of %g processors" % (
        service["name"],
        size(use.memory),
        limit,
        sum(use.percents) / max(1, len(use.percents)),
        use.processors,
    )
    if use.kills:
        text += "; %d of its processes were killed for want of memory" % use.kills
    return finding(
        "service_usage",
        "fail" if full or busy else "warn" if use.kills else "ok",
        (text if use.pids else "%s: it does not run, so it uses nothing" % service["name"]) + ".",
        observed={
            "service": service["name"],
            "part": service["part"],
            "memory": use.memory,
            "memory_limit": use.limit,
            "memory_percent": round(percent, 1),
            "processors": use.processors,
            "processor_percents": [round(one, 1) for one in use.percents],
            "oom_kills": use.kills,
            "too_much": [name for name, over in (("memory", full), ("processors", busy)) if over],
            "raise_to": _raise_to(use),
        },
        expected={
            "memory_percent_below": rule["memory_fail_percent"],
            "processor_percent_below": rule["processor_fail_percent"],
        },
    )


def _raise_to(use: _Use) -> int:
    """Return the largest limit that leaves the host its share of free memory, 0 without a limit."""
    if not use.limit:
        return 0
    total, available = _memory()
    spare = available - int(total * _HEADROOM_PERCENT / 100.0)
    return use.limit + max(0, spare)


def _memory(path: str = "/proc/meminfo") -> Tuple[int, int]:
    with open(path, encoding="ascii") as handle:
        table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in handle}
    return table["MemTotal"], table["MemAvailable"]


def _others(samples: Sequence[Sample], owned: Set[int], rule: Mapping[str, Any]) -> Dict[str, Any]:
    """What belongs to no service: the largest, and those that have used too much for too long."""
    processes = samples[-1].processes
    judged = set(processes) - owned - not_for_judgement(processes)
    rows = sorted((_row(samples, pid) for pid in judged), key=lambda row: -row["processor_percent"])
    runaway = [
        row
        for row in rows
        if row["least_percent"] >= rule["process_fail_percent"] and row["age_s"] >= rule["process_age"]
    ]
    named = ", ".join(_phrase(row) for row in (runaway or rows)[:3])
    text = "%s no service and %s: %s." % (
        "%d processes belong to" % len(runaway) if len(runaway) > 1 else "A process belongs to",
        "use too much of a processor" if len(runaway) > 1 else "uses too much of a processor",
        named,
    )
    return finding(
        "process_usage",
        "fail" if runaway else "ok",
        text if runaway else "Of what belongs to no service, most is used by: %s." % (named or "nothing"),
        observed={
            "runaway": runaway,
            "by_processor": rows[:TOP],
            "by_memory": sorted(rows, key=lambda row: -row["memory"])[:TOP],
        },
        expected={"percent_of_a_processor_below": rule["process_fail_percent"]},
    )


def _row(samples: Sequence[Sample], pid: int) -> Dict[str, Any]:
    one, percents = samples[-1].processes[pid], used_percents(samples, {pid})
    with open("/proc/uptime", encoding="ascii") as handle:
        uptime = float(handle.read().split()[0])
    return {
        "pid": pid,
        "program": one.name,
        "user": _user(pid),
        "processor_percent": round(sum(percents) / max(1, len(percents)), 1),
        "least_percent": round(min(percents, default=0.0), 1),
        "memory": private_memory({pid}),
        "age_s": round(max(0.0, uptime - one.started / float(os.sysconf("SC_CLK_TCK")))),
    }


def _user(pid: int) -> str:
    with contextlib.suppress(OSError):
        number = os.stat("/proc/%d" % pid).st_uid
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(number).pw_name
        return str(number)
    return ""


def _phrase(row: Mapping[str, Any]) -> str:
    used = "%.0f %% of a processor, %s" % (row["processor_percent"], size(row["memory"]))
    return "%s (process %d of %s, %s)" % (row["program"], row["pid"], row["user"], used)


def _host(samples: Sequence[Sample], rule: Mapping[str, Any]) -> Dict[str, Any]:
    percents = busy_percents(samples)
    least, limit = min(percents, default=0.0), rule["host_fail_percent"]
    return finding(
        "processors",
        "fail" if least >= limit else "ok",
        "The processors of the host are %s %% busy, looked at %d times."
        % (", ".join("%.0f" % percent for percent in percents), len(percents)),
        observed={"percents": [round(percent, 1) for percent in percents], "cores": os.cpu_count() or 1},
        expected={"percent_below": limit},
    )
