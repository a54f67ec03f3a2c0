# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What jobs look like from the database: heartbeats, waiting messages, dead letters, the lock."""

from __future__ import annotations

__metaclass__ = type

from contextlib import closing
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import read_session
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import lock as job_lock
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.tables import (
    DeadLetters,
    Heartbeats,
    Queue,
    Tables,
    composed,
    joined,
)

Finding = Dict[str, Any]
_TOP = 3
_HEARTBEATS = """
SELECT {job}::text, extract(epoch FROM clock_timestamp() - {beat_at})::float, {interval}::float
FROM {table} ORDER BY 1
"""
_QUEUE = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min({enqueued_at})), 0)::float
FROM {table} WHERE {done_at} IS NULL
"""
_CHANNEL = """
WITH failed AS (SELECT {dead.error}::text AS error FROM {dead} WHERE {dead.kind}::text = ANY({kinds})
                AND {dead.failed_at} > clock_timestamp() - make_interval(secs => {window})),
sent AS (SELECT 1 FROM {queue} WHERE {queue.kind}::text = ANY({kinds})
         AND {queue.done_at} > clock_timestamp() - make_interval(secs => {window}))
SELECT (SELECT count(*) FROM failed), (SELECT count(*) FROM sent),
       coalesce((SELECT left(error, 200) FROM failed GROUP BY error ORDER BY count(*) DESC LIMIT 1), ''),
       (SELECT count(*) FROM {queue} WHERE {queue.kind}::text = ANY({kinds}) AND {queue.done_at} IS NULL),
       (SELECT extract(epoch FROM clock_timestamp() - min({queue.enqueued_at}))::float FROM {queue}
        WHERE {queue.kind}::text = ANY({kinds}) AND {queue.done_at} IS NULL)
"""
_DEAD = """
SELECT coalesce({kind}::text, ''), left(coalesce({error}::text, ''), 200), count(*),
       count(*) FILTER (WHERE {expires_at} < clock_timestamp())
FROM {table} WHERE {replayed_at} IS NULL GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


def look(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Measure what the options declare and return the findings; raises only where nothing was asked for."""
    tables = Tables.from_params(params)
    measures = _measures(tables, params)
    if not measures:
        raise UsageError(
            "look at jobs",
            got="neither heartbeats nor queue, dead_letters or lock is given",
            next_step="name at least one of the tables in the inventory",
        )
    login = pg.Login.from_params(params, "oncall-job-health")
    try:
        with closing(read_session(login, params["database"], params["timeout"])) as session:
            found = [one for check, measure in measures.items() for one in _tried(check, measure, session)]
    except OncallError as error:
        found = [_unknown(check, error.message) for check in measures]
    wanted = params["checks"]
    return {"changed": False, "findings": [one for one in found if not wanted or one["check"] in wanted]}


def _measures(tables: Tables, params: Mapping[str, Any]) -> Dict[str, Callable[[Any], List[Finding]]]:
    made: Dict[str, Callable[[Any], List[Finding]]] = {}
    heartbeats, queue, dead, lock = tables.heartbeats, tables.queue, tables.dead_letters, tables.lock
    if heartbeats:
        made[job_lock.check_of("job_heartbeat", params)] = lambda session: _heartbeats(
            session, heartbeats, params
        )
    if queue:
        made["job_queue"] = lambda session: [_queue(session, queue, params["max_wait_s"])]
    if dead:
        made["job_dead_letters"] = lambda session: [_dead(session, dead, params["max_dead"])]
    if queue and dead:
        for channel in params["channels"]:
            look_at = partial(_channel, dead=dead, queue=queue, channel=channel, params=params)
            made["notification_failures of %s" % channel["name"]] = look_at
    if lock:
        made[job_lock.check_of("job_lock", params)] = lambda session: job_lock.findings(session, lock, params)
    return made


def _tried(check: str, measure: Callable[[Any], List[Finding]], session: Any) -> List[Finding]:
    """One table that cannot be read must not hide the others."""
    try:
        return measure(session)
    except OncallError as error:
        return [_unknown(check, error.message)]
    except pg.Error as error:
        return [_unknown(check, " ".join(str(error).split()))]


def _unknown(check: str, why: str) -> Finding:
    check, _of, channel = check.partition(" of ")
    observed = {"error": why, "channel": channel} if channel else {"error": why}
    return finding(check, "unknown", "not measured: %s" % why, observed=observed)


def _channel(
    session: Any, *, dead: DeadLetters, queue: Queue, channel: Mapping[str, Any], params: Mapping[str, Any]
) -> List[Finding]:
    """How many of a channel's messages failed lately, and how long the oldest waits."""
    name, window = channel["name"], params["window_s"]
    dead.check(session)
    queue.check(session)
    statement = joined(_CHANNEL, dead, queue, kinds=channel["kinds"], window=window)
    failed, sent, error, waiting, oldest = pg.rows(session, statement)[0]
    ratio = failed / float(failed + sent) if failed else 0.0
    observed = {"channel": name, "failed": failed, "sent": sent, "ratio": round(ratio, 3), "error": error}
    text = "%s: %d of %d messages failed within %s" % (name, failed, failed + sent, span(window))
    text += "; most often: %s." % error if error else "."
    status = "fail" if ratio > params["max_failure_ratio"] else "ok"
    expected = "at most %g %%" % (params["max_failure_ratio"] * 100)
    failures = finding("notification_failures", status, text, observed=observed, expected=expected)
    late = (oldest or 0.0) > params["max_wait_s"]
    text = "%s: %d messages wait, the oldest for %s." % (name, waiting, span(oldest or 0.0))
    observed = {"channel": name, "waiting": waiting, "oldest_s": oldest or 0.0}
    expected = "at most %s" % span(params["max_wait_s"])
    waits = finding(
        "notification_queue", "fail" if late else "ok", text, observed=observed, expected=expected
    )
    return [failures, waits]


def _heartbeats(session: Any, place: Heartbeats, params: Mapping[str, Any]) -> List[Finding]:
    place.check(session)
    rows = [
        row for row in pg.rows(session, composed(_HEARTBEATS, place)) if job_lock.is_meant(row[0], params)
    ]
    found = [_heartbeat(row[0], row[1], row[2], params) for row in rows]
    if not found:
        which = ", ".join(params["names"]) or "any job"
        text = "%s has no row of %s: it has never reported" % (place.place, which)
        found.append(finding(job_lock.check_of("job_heartbeat", params), "fail", text, observed={"jobs": 0}))
    return found


def _heartbeat(
    job: str, age: Optional[float], interval: Optional[float], params: Mapping[str, Any]
) -> Finding:
    check = job_lock.check_of("job_heartbeat", params)
    observed = {"job": job, "age_s": age, "interval_s": interval}
    if age is None or not interval:
        text = "%s has no time or no interval in its heartbeat" % job
        return finding(check, "unknown", text, observed=observed)
    limit = params["max_age_s"] or params["stale_factor"] * interval
    late = age > limit
    text = "%s reported %s ago; it runs every %s." % (job, span(age), span(interval))
    expected = "at most %s" % span(limit)
    if age < -interval:
        # A heartbeat from the future never goes stale: the clock that wrote it is wrong.
        text, late = "%s reported %s in the future: its clock is wrong." % (job, span(-age)), True
    return finding(check, "fail" if late else "ok", text, observed=observed, expected=expected)


def _queue(session: Any, place: Queue, max_wait_s: float) -> Finding:
    place.check(session)
    waiting, oldest = pg.rows(session, composed(_QUEUE, place))[0]
    status = "fail" if oldest > max_wait_s else "ok"
    text = (
        "%d messages wait, the oldest for %s." % (waiting, span(oldest)) if waiting else "No message waits."
    )
    observed = {"waiting": waiting, "oldest_s": oldest}
    return finding("job_queue", status, text, observed=observed, expected="at most %s" % span(max_wait_s))


def _dead(session: Any, place: DeadLetters, most: int) -> Finding:
    place.check(session)
    groups = pg.rows(session, composed(_DEAD, place))
    total = sum(row[2] for row in groups)
    expired = sum(row[3] for row in groups)
    status = "ok" if not total else ("fail" if total > most else "warn")
    top = [{"kind": kind, "error": error, "count": count} for kind, error, count, _gone in groups[:_TOP]]
    text = "%d dead letters, %d of them past their use" % (total, expired)
    if top:
        text += "; most of them: %s, %s (%d)" % (top[0]["kind"], top[0]["error"], top[0]["count"])
    observed = {"dead": total, "expired": expired, "replayable": total - expired, "top": top}
    return finding("job_dead_letters", status, text + ".", observed=observed, expected="at most %d" % most)


def span(seconds: float) -> str:
    """A time span as a person says it: 45 s, 12 min, 26 h."""
    if seconds < 120:
        return "%d s" % seconds
    return "%d min" % (seconds / 60) if seconds < 7200 else "%d h" % (seconds / 3600)


def health_spec() -> Dict[str, Any]:
    """Return the thresholds of a diagnosis, and the channels that are measured by themselves."""
    kinds = {"type": "list", "elements": "str", "required": True}
    channel = {"name": {"type": "str", "required": True}, "kinds": kinds}
    return {
        "stale_factor": {"type": "float", "default": 2},
        "max_wait_s": {"type": "float", "default": 600},
        "max_dead": {"type": "int", "default": 10},
        "dead_after_s": {"type": "float", "default": 120},
        "checks": {"type": "list", "elements": "str", "default": []},
        "subject": {"type": "str", "default": "job"},
        "names": {"type": "list", "elements": "str", "default": []},
        "except_names": {"type": "list", "elements": "str", "default": []},
        "max_age_s": {"type": "float", "default": 0},
        "channels": {"type": "list", "elements": "dict", "default": [], "options": channel},
        "window_s": {"type": "float", "default": 900},
        "max_failure_ratio": {"type": "float", "default": 0.05},
    }
