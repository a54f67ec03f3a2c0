# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions, locks, replication, checkpoints and WAL: what the server's own statistics say."""

from __future__ import annotations

__metaclass__ = type

from contextlib import closing
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login, rows
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.queries import measure_queries
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.server import any_session
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import above, worse
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, span
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.wal import (
    measure_checkpoint,
    measure_replication,
    measure_wal,
)

Limits = Mapping[str, Any]
CHECKS = (
    "postgres_connections",
    "postgres_replication",
    "postgres_checkpoint",
    "postgres_wal",
    "postgres_queries",
)

_SESSIONS = """
SELECT count(*) FILTER (WHERE backend_type = 'client backend' OR backend_type IS NULL),
       count(*) FILTER (WHERE backend_type = 'client backend' AND state = 'active'),
       count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
       coalesce(max(extract(epoch FROM clock_timestamp() - state_change))
                FILTER (WHERE state LIKE 'idle in transaction%'), 0)::float,
       coalesce(max(extract(epoch FROM clock_timestamp() - xact_start))
                FILTER (WHERE backend_type = 'client backend'), 0)::float,
       current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int,
       count(*) FILTER (WHERE backend_type IS NULL AND datname IS NOT NULL)
FROM pg_stat_activity WHERE pid <> pg_backend_pid()
"""
_TOP_ROLES = """
SELECT usename, count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1 ORDER BY 2 DESC LIMIT 5
"""
_BLOCKED = """
SELECT a.pid, a.usename, a.datname, pg_blocking_pids(a.pid),
       extract(epoch FROM clock_timestamp() - coalesce(a.state_change, a.query_start))::float
FROM pg_stat_activity a WHERE a.wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(a.pid)) > 0
ORDER BY 5 DESC LIMIT 20
"""


def measure_activity(login: Login, database: str, limits: Limits, timeout: float) -> Iterator[Dict[str, Any]]:
    """Yield connections, replication, checkpoint and WAL over one session: connections may be scarce."""
    try:
        session = any_session(login, database, timeout)
    except OncallError as exc:
        if exc.kind == "too_many_clients":
            text = "No connection is left: the server refuses with %r." % exc.got
            observed = {"refused": True, "error": exc.got}
            yield finding(
                "postgres_connections", "fail", text, observed=observed, expected={"refused": False}
            )
        raise
    with closing(session):
        measures = (_connections, measure_replication, measure_checkpoint, measure_wal, measure_queries)
        for check, measure in zip(CHECKS, measures):  # noqa: B905 - strict= is not in Python 3.8
            yield _guarded(check, measure, session, limits)


def _guarded(check: str, measure: Any, session: Any, limits: Limits) -> Dict[str, Any]:
    """One statistic that this role may not read must not cost the others."""
    try:
        made: Dict[str, Any] = measure(session, limits)
        return made
    except Exception as exc:
        got = " ".join(str(exc).split())
        return finding(check, "unknown", "not measured: %s" % got, observed={"error": got})


def _connections(session: Any, limits: Limits) -> Dict[str, Any]:
    total, active, idle_tx, idle_tx_age, oldest, limit, reserved, hidden = rows(session, _SESSIONS)[0]
    blocked = _blocked(session)
    top = {role or "(none)": count for role, count in rows(session, _TOP_ROLES)}
    usable = limit - reserved
    percent = 100.0 * total / usable if usable > 0 else 100.0
    waited = blocked[0]["seconds"] if blocked else 0.0
    status = worse(
        # What this role may not look into may be idle in a transaction, or blocked.
        "unknown" if hidden else "ok",
        above(percent, limits["connections_warn_percent"], limits["connections_fail_percent"]),
        "warn" if idle_tx_age >= limits["idle_in_transaction_warn"] else "ok",
        "warn" if oldest >= limits["transaction_warn"] else "ok",
        above(waited, limits["blocked_warn"], limits["blocked_fail"]),
    )
    text = (
        "%s of %d usable (%.0f %%): %d active, %d idle in transaction (longest %s), "
        "oldest transaction %s, %s (longest %s)%s."
    )
    return finding(
        "postgres_connections",
        status,
        text
        % (
            plural(total, "connection"),
            usable,
            percent,
            active,
            idle_tx,
            span(idle_tx_age),
            span(oldest),
            plural(len(blocked), "blocked session"),
            span(waited),
            "; %d hidden from this role: GRANT pg_read_all_stats" % hidden if hidden else "",
        ),
        observed={
            "total": total,
            "limit": limit,
            "reserved": reserved,
            "hidden": hidden,
            "used_percent": round(percent, 1),
            "active": active,
            "idle_in_transaction": idle_tx,
            "idle_in_transaction_s": round(idle_tx_age, 1),
            "oldest_transaction_s": round(oldest, 1),
            "blocked": len(blocked),
            "blocked_s": round(waited, 1),
            "top_roles": top,
        },
        expected={
            "used_percent_below": limits["connections_warn_percent"],
            "blocked_s_below": limits["blocked_warn"],
        },
        details=blocked or None,
    )


def _blocked(session: Any) -> List[Dict[str, Any]]:
    found: List[Tuple[Any, ...]] = rows(session, _BLOCKED)
    return [
        {"pid": pid, "role": role, "database": name, "blocked_by": by, "seconds": round(seconds or 0.0, 1)}
        for pid, role, name, by, seconds in found
    ]
