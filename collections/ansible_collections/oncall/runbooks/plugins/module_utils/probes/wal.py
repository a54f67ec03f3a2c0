# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replication, checkpoints and the write-ahead log, each from one open session."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import rows
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import above, worse
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, size, span

Limits = Mapping[str, Any]

_POSITION = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
_REPLICAS = (
    """
SELECT application_name, client_addr::text, state, sync_state,
       coalesce(extract(epoch FROM replay_lag), 0)::float,
       coalesce(pg_wal_lsn_diff(%s, replay_lsn), 0)::bigint
FROM pg_stat_replication
"""
    % _POSITION
)
_SLOTS = (
    """
SELECT slot_name, active, coalesce(pg_wal_lsn_diff(%s, restart_lsn), 0)::bigint FROM pg_replication_slots
"""
    % _POSITION
)
_REPLAY = """
SELECT pg_is_in_recovery(), pg_is_in_recovery() AND pg_is_wal_replay_paused(),
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)
       END::float
"""
_CHECKPOINT = (
    """
SELECT extract(epoch FROM clock_timestamp() - checkpoint_time)::float,
       pg_wal_lsn_diff(%s, redo_lsn)::bigint
FROM pg_control_checkpoint()
"""
    % _POSITION
)
_ARCHIVER = """
SELECT current_setting('archive_mode') <> 'off', failed_count, last_failed_wal, last_failed_time::text,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
FROM pg_stat_archiver
"""
_WAL = "SELECT count(*), coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()"
_MAX_WAL = "SELECT pg_size_bytes(current_setting('max_wal_size'))"


def measure_replication(session: Any, limits: Limits) -> Dict[str, Any]:
    """Return the finding on this server's role, its replicas, and slots that hold WAL back."""
    standby, paused, delay = rows(session, _REPLAY)[0]
    replicas = [
        dict(zip(("name", "address", "state", "sync", "lag_s", "lag_bytes"), row))  # noqa: B905 - strict= is not in Python 3.8
        for row in rows(session, _REPLICAS)
    ]
    slots = [dict(zip(("name", "active", "retained"), row)) for row in rows(session, _SLOTS)]  # noqa: B905 - strict= is not in Python 3.8
    lag = max([delay] + [r["lag_s"] for r in replicas])
    idle = [slot for slot in slots if not slot["active"]]
    retained = sum(slot["retained"] for slot in idle)
    status = worse(
        above(lag, limits["replication_lag_warn"], limits["replication_lag_fail"]),
        above(retained, limits["slot_retained_warn"], limits["slot_retained_fail"]),
        "warn" if paused or idle else "ok",
    )
    text = "%s with %s, largest lag %s%s; %s retaining %s of WAL." % (
        "Standby" if standby else "Primary",
        plural(len(replicas), "replica"),
        span(lag),
        ", replay is PAUSED" if paused else "",
        plural(len(idle), "inactive slot"),
        size(retained),
    )
    return finding(
        "postgres_replication",
        status,
        text,
        observed={
            "role": "standby" if standby else "primary",
            "paused": paused,
            "lag_s": round(lag, 1),
            "replicas": replicas,
            "slots": slots,
            "retained": retained,
        },
        expected={"lag_s_below": limits["replication_lag_warn"], "inactive_slots": 0},
    )


def measure_checkpoint(session: Any, limits: Limits) -> Dict[str, Any]:
    """Return the finding on the last checkpoint and on WAL archiving."""
    age, since = rows(session, _CHECKPOINT)[0]
    archiving, failures, wal, when, failing = rows(session, _ARCHIVER)[0]
    # A server at rest makes no checkpoints: age alone is only a warning when there was WAL to flush.
    busy = since >= 16 * 1024 * 1024
    status = "warn" if busy and age >= limits["checkpoint_age_warn"] else "ok"
    text = "The last checkpoint is %s old, %s of WAL were written since." % (span(age), size(since))
    if archiving:
        text += " %s of the archiver%s." % (
            plural(failures, "failure"),
            ", the last one (%s at %s) not repaired yet" % (wal, when) if failing else "",
        )
        status = worse(status, "fail" if failing else "ok")
    return finding(
        "postgres_checkpoint",
        status,
        text,
        observed={
            "age_s": round(age, 1),
            "wal_since": since,
            "archiving": archiving,
            "archive_failures": failures,
            "archive_failing": failing,
        },
        expected={"age_s_below": limits["checkpoint_age_warn"], "archive_failing": False},
    )


def measure_wal(session: Any, limits: Limits) -> Dict[str, Any]:
    """Return the finding on the size of pg_wal against max_wal_size."""
    (files, total), (allowed,) = rows(session, _WAL)[0], rows(session, _MAX_WAL)[0]
    warn = max(limits["wal_warn"], 2 * allowed)
    fail = max(limits["wal_fail"], 4 * allowed)
    causes: List[str] = []
    status = above(total, warn, fail)
    if status != "ok":
        causes = ["an inactive replication slot", "failing archiving", "a checkpoint that cannot finish"]
    text = "pg_wal holds %s in %s (max_wal_size %s)." % (size(total), plural(files, "file"), size(allowed))
    if causes:
        text += " Look for %s." % " or ".join(causes)
    return finding(
        "postgres_wal",
        status,
        text,
        observed={"bytes": total, "files": files, "max_wal_size": allowed},
        expected={"bytes_below": warn},
    )
