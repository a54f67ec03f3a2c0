# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the host itself has left: disk, inodes, memory, processor."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import (
    DEFAULTS,
    HOST,
    above,
    below,
    threshold_spec,
    worse,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size

# Options of a module that measures its host.
HOST_SPEC: Dict[str, Any] = {
    "data_path": {"type": "path", "default": "/"},
    "docker_root": {"type": "path", "default": ""},
    "thresholds": threshold_spec(*HOST),
}

Limits = Mapping[str, Any]
Findings = Iterator[Dict[str, Any]]


def measure_disk(check: str, path: str, limits: Limits) -> Findings:
    """Yield how full the file system of `path` is, by percent and by free bytes.

    Free is what an ordinary user may still take: the blocks reserved for root do not help PostgreSQL.
    """
    stat = os.statvfs(path)
    free, used = stat.f_bavail * stat.f_frsize, (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    usable = used + free
    percent = 100.0 * used / usable if usable else 0.0
    # A small file system may never have that much free: the byte limits count up to a share of its size.
    warn_free = min(limits["disk_warn_free"], usable * 0.20)
    fail_free = min(limits["disk_fail_free"], usable * 0.05)
    status = worse(
        above(percent, limits["disk_warn_percent"], limits["disk_fail_percent"]),
        below(free, warn_free, fail_free),
    )
    yield finding(
        check,
        status,
        "The file system of %s is %.1f %% full: %s of %s are free."
        % (path, percent, size(free), size(usable)),
        observed={"path": path, "used_percent": round(percent, 1), "free": free, "total": usable},
        expected={"used_percent_below": limits["disk_warn_percent"], "free_at_least": int(warn_free)},
    )


def measure_inodes(check: str, path: str, limits: Limits) -> Findings:
    """Yield how many inodes of the file system of `path` are used."""
    stat = os.statvfs(path)
    if not stat.f_files:
        yield finding(
            check,
            "ok",
            "The file system of %s makes inodes as it needs them." % path,
            observed={"path": path},
        )
        return
    used = stat.f_files - stat.f_ffree
    percent = 100.0 * used / stat.f_files
    yield finding(
        check,
        above(percent, limits["inode_warn_percent"], limits["inode_fail_percent"]),
        "The file system of %s uses %.1f %% of its inodes: %d of %d are free."
        % (path, percent, stat.f_ffree, stat.f_files),
        observed={"path": path, "used_percent": round(percent, 1), "free": stat.f_ffree},
        expected={"used_percent_below": limits["inode_warn_percent"]},
    )


def _numbers(path: str) -> Dict[str, int]:
    """Return the file's `name value` lines as numbers; kB become bytes."""
    found = {}
    with open(path, encoding="ascii", errors="replace") as handle:
        for line in handle:
            words = line.replace(":", " ").split()
            if len(words) >= 2 and words[1].isdigit():
                found[words[0]] = int(words[1]) * (1024 if words[-1] == "kB" else 1)
    return found


def measure_memory(limits: Limits, root: str = "/proc") -> Findings:
    """Yield the memory that is available without swapping, swap in use, and how often memory ran out."""
    memory, events = _numbers("%s/meminfo" % root), _numbers("%s/vmstat" % root)
    total, available = memory["MemTotal"], memory["MemAvailable"]
    swap_total = memory.get("SwapTotal", 0)
    swap_used = swap_total - memory.get("SwapFree", 0)
    kills = events.get("oom_kill", 0)
    percent = 100.0 * available / total
    status = below(percent, limits["memory_warn_percent"], limits["memory_fail_percent"])
    if kills:
        status = worse(status, "warn")
    text = (
        "%s of %s memory is available (%.1f %%); %s of %s swap is used; "
        "%d processes were killed for want of memory since boot."
    )
    yield finding(
        "memory",
        status,
        text % (size(available), size(total), percent, size(swap_used), size(swap_total), kills),
        observed={
            "available": available,
            "total": total,
            "available_percent": round(percent, 1),
            "swap_used": swap_used,
            "swap_total": swap_total,
            "oom_kills": kills,
        },
        expected={"available_percent_at_least": limits["memory_warn_percent"], "oom_kills": 0},
    )


def measure_load(limits: Limits, root: str = "/proc") -> Findings:
    """Yield the load of the last one, five and fifteen minutes against the number of processors.

    Where the kernel tells it, also how much of the last minute something waited for a processor or the disk:
    a high load that waits for a full or slow disk is not helped by more processors.
    """
    one, five, fifteen = os.getloadavg()
    cores = os.cpu_count() or 1
    cpu, disk = _pressure("%s/pressure/cpu" % root), _pressure("%s/pressure/io" % root)
    text = "Load %.2f, %.2f, %.2f (1, 5, 15 min) on %d cores: %.2f per core over 5 min"
    summary = text % (one, five, fifteen, cores, five / cores)
    if cpu is not None and disk is not None:
        waits = "; something waited for a processor %.0f %%, for the disk %.0f %% of the last minute"
        summary += waits % (cpu, disk)
    yield finding(
        "load",
        above(five / cores, limits["load_warn"], limits["load_fail"]),
        summary + ".",
        observed={
            "1m": one,
            "5m": five,
            "15m": fifteen,
            "cores": cores,
            "per_core": round(five / cores, 2),
            "waited_cpu_percent": cpu,
            "waited_io_percent": disk,
        },
        expected={"per_core_below": limits["load_warn"]},
    )


def _pressure(path: str) -> Optional[float]:
    """Return the share of the last minute in which some task waited, in percent; None on an older kernel."""
    try:
        with open(path, encoding="ascii") as handle:
            words = dict(word.split("=", 1) for word in handle.readline().split()[1:])
        return float(words["avg60"])
    except (OSError, KeyError, ValueError):
        return None


def host_probes(params: Mapping[str, Any]) -> List[Probe]:
    """Return the probes of a host; `params` has timeout (s), the paths to measure, and its own thresholds."""
    limits, seconds = {**DEFAULTS, **(params.get("thresholds") or {})}, params["timeout"]
    probes = [
        Probe(("memory",), lambda: measure_memory(limits), seconds),
        Probe(("load",), lambda: measure_load(limits), seconds),
    ]
    path, root = params.get("data_path"), params.get("docker_root")
    if path:
        # A file system that does not answer (a dead network mount) is itself the failure.
        probes.insert(
            0, Probe(("data_disk",), lambda: measure_disk("data_disk", path, limits), seconds, "fail")
        )
        probes.insert(
            1,
            Probe(("data_inodes",), lambda: measure_inodes("data_inodes", path, limits), seconds, "fail"),
        )
    if root:
        probes.append(
            Probe(("docker_disk",), lambda: measure_disk("docker_disk", root, limits), seconds, "fail")
        )
    return probes
