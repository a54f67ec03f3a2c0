# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From which value on a measurement is a warning or a failure: defaults, and their documentation's source."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict

MIB = 1024 * 1024

#: option name → (type, default). Percentages are of the whole, sizes in bytes, times in seconds.
DEFAULTS: Dict[str, Any] = {
    "disk_warn_percent": 80.0,
    "disk_fail_percent": 95.0,
    "disk_warn_free": 2048 * MIB,
    "disk_fail_free": 256 * MIB,
    "inode_warn_percent": 80.0,
    "inode_fail_percent": 95.0,
    "memory_warn_percent": 10.0,
    "memory_fail_percent": 3.0,
    "load_warn": 2.0,
    "load_fail": 8.0,
    "connections_warn_percent": 80.0,
    "connections_fail_percent": 95.0,
    "idle_in_transaction_warn": 300.0,
    "transaction_warn": 1800.0,
    "query_warn": 300.0,
    "query_fail": 1800.0,
    "blocked_warn": 5.0,
    "blocked_fail": 60.0,
    "replication_lag_warn": 60.0,
    "replication_lag_fail": 600.0,
    "slot_retained_warn": 1024 * MIB,
    "slot_retained_fail": 10240 * MIB,
    "checkpoint_age_warn": 3600.0,
    "wal_warn": 4096 * MIB,
    "wal_fail": 20480 * MIB,
    "log_hours": 24.0,
    "log_recent": 900.0,
    "log_max_bytes": 4 * MIB,
    "table_read_limit": 256 * MIB,
}


#: those of a host, in the order of DEFAULTS
HOST = ("disk_", "inode_", "memory_", "load_")


def threshold_spec(*prefixes: str) -> Dict[str, Any]:
    """Return the argument spec of the option `thresholds`: every threshold on its own, with its default.

    prefixes: only those whose names begin so; none means all.
    """
    options = {
        name: {"type": "float" if isinstance(default, float) else "int", "default": default}
        for name, default in DEFAULTS.items()
        if not prefixes or name.startswith(prefixes)
    }
    return {"type": "dict", "default": {}, "apply_defaults": True, "options": options}


def above(value: float, warn: float, fail: float) -> str:
    """Return the status of a value that is worse the higher it is."""
    return "fail" if value >= fail else "warn" if value >= warn else "ok"


def below(value: float, warn: float, fail: float) -> str:
    """Return the status of a value that is worse the lower it is."""
    return "fail" if value < fail else "warn" if value < warn else "ok"


def worse(*statuses: str) -> str:
    """Return the worst of several statuses."""
    order = ("ok", "unknown", "warn", "fail")
    return max(statuses, key=order.index)
