# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What jobs look like from the database: heartbeats, waiting messages, dead letters, the lock."""

from __future__ import annotations

__metaclass__ = type

from contextlib import closing
from typing import Any, Callable, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import read_session
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import lock as job_lock
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.tables import (
    Columns,
    DeadLetters,
    Heartbeats,
    Queue,
    Tables,
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
    return {"changed": False, "findings": found}


def _measures(tables: Tables, params: Mapping[str, Any]) -> Dict[str, Callable[[Any], List[Finding]]]:
    made: Dict[str, Callable[[Any], List[Finding]]] = {}
    heartbeats, queue, dead, lock = tables.heartbeats, tables.queue, tables.dead_letters, tables.lock
    if heartbeats:
        made["job_heartbeat"] = lambda session: _heartbeats(session, heartbeats, params["stale_factor"])
    if queue:
        made["job_queue"] = lambda session: [_queue(session, queue, params["max_wait_s"])]
    if dead:
        made["job_dead_letters"] = lambda session: [_dead(session, dead, params["max_dead"])]
    if lock:
        made["job_lock"] = lambda session: job_lock.findings(session, lock, params["dead_after_s"])
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
    return finding(check, "unknown", "not measured: %s" % why, observed={"error": why})


def composed(template: str, place: Columns) -> Any:
    """Return the statement with the table and its columns in it; a column that is not there is NULL."""
    parts = {name: getattr(place, name) for name in place.names()}
    columns = {name: pg.ident(column) if column else pg.raw("NULL") for name, column in parts.items()}
    return pg.raw(template).format(table=place.ident, **columns)


def _heartbeats(session: Any, place: Heartbeats, factor: float) -> List[Finding]:
    place.check(session)
    rows = pg.rows(session, composed(_HEARTBEATS, place))
    found = [_heartbeat(job, age, interval, factor) for job, age, interval in rows]
    if not found:
        text = "%s is empty: no job has ever reported" % place.place
        found.append(finding("job_heartbeat", "fail", text, observed={"jobs": 0}))
    return found


def _heartbeat(job: str, age: Optional[float], interval: Optional[float], factor: float) -> Finding:
    observed = {"job": job, "age_s": age, "interval_s": interval}
    if age is None or not interval:
        text = "%s has no time or no interval in its heartbeat" % job
        return finding("job_heartbeat", "unknown", text, observed=observed)
    late = age > factor * interval
    text = "%s reported %s ago; it runs every %s." % (job, span(age), span(interval))
    expected = "at most %s" % span(factor * interval)
    if age < -interval:
        # A heartbeat from the future never goes stale: the clock that wrote it is wrong.
        text, late = "%s reported %s in the future: its clock is wrong." % (job, span(-age)), True
    return finding("job_heartbeat", "fail" if late else "ok", text, observed=observed, expected=expected)


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
    """Return the thresholds of a diagnosis."""
    return {
        "stale_factor": {"type": "float", "default": 2},
        "max_wait_s": {"type": "float", "default": 600},
        "max_dead": {"type": "int", "default": 10},
        "dead_after_s": {"type": "float", "default": 120},
    }
