# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Choose sessions of PostgreSQL, end them, and see that they are gone."""

from __future__ import annotations

__metaclass__ = type

import time
from contextlib import closing
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login, rows
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.server import read_session
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, span

Session = Dict[str, Any]
_COLUMNS = ("pid", "started", "role", "database", "application", "state", "seconds", "query", "since")
# How long to ask again while the server has no connection left: the slots of others come and go.
CONNECT_PATIENCE = 10.0

_SELECT = """
SELECT a.pid, a.backend_start::text, a.usename, a.datname, a.application_name, a.state,
       extract(epoch FROM clock_timestamp() -
               CASE WHEN a.state = 'active' THEN a.query_start ELSE a.state_change END)::float,
       left(a.query, 200), a.query_start::text
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.rolname = a.usename
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND a.application_name NOT LIKE 'oncall-%%' AND a.application_name <> ALL (%(except_applications)s)
  AND (%(all_databases)s OR a.datname = %(database)s)
  AND (%(include_superusers)s OR NOT coalesce(r.rolsuper, false))
  AND (%(role)s::text IS NULL OR a.usename = %(role)s)
  AND (%(application)s::text IS NULL OR a.application_name = %(application)s)
  AND (%(unaged)s OR (
       (a.state = 'idle' AND clock_timestamp() - a.state_change >= make_interval(secs => %(idle_for)s))
    OR (a.state LIKE 'idle in transaction%%'
        AND clock_timestamp() - a.state_change >= make_interval(secs => %(idle_in_transaction_for)s))
    OR (a.state = 'active' AND clock_timestamp() - a.query_start >= make_interval(secs => %(query_for)s))
    OR (%(blocking)s AND a.pid = ANY (SELECT unnest(pg_blocking_pids(w.pid)) FROM pg_stat_activity w
                                      WHERE w.wait_event_type = 'Lock'))))
ORDER BY 7 DESC NULLS LAST
"""
# The server shows a session of a role one may not look into without its type.
_HIDDEN = "SELECT count(*) FROM pg_stat_activity WHERE backend_type IS NULL AND datname IS NOT NULL"
# Another query of the same session is not the one that was cancelled.
_BUSY = """
SELECT pid FROM pg_stat_activity
WHERE (pid, backend_start::text, query_start::text) IN %s AND state = 'active'
"""
_LEFT = "SELECT pid FROM pg_stat_activity WHERE (pid, backend_start::text) IN %s"
# The start time guards against a pid that another session has got meanwhile.
_SIGNAL = "SELECT {}(pid) FROM pg_stat_activity WHERE (pid, backend_start::text) IN %s"
_RETURNED = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND backend_start > %s::timestamptz
  AND (usename, application_name) IN %s
"""


def end_sessions(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """End the sessions that `params` select and return the module's result; only list them in check mode.

    The session that lists is read-only by the server's own guard; signals are sent by functions, not writes.
    """
    _refuse_unselective(params)
    with closing(_connect(Login.from_params(params, application_name="oncall-sessions"))) as session:
        _refuse_blind(session, params["database"])
        found = _select(session, params)
        cancels = params.get("state") == "cancelled"
        result = _predicted(found, cancels)
        if not found or check_mode:
            return result
        since = rows(session, "SELECT clock_timestamp()::text")[0][0]
        end = _cancel if cancels else _end
        result["steps"] = end(session, found, params["grace"])
        pairs = tuple({(s["role"], s["application"]) for s in found})
        result["reconnected"] = rows(session, _RETURNED, (since, pairs))[0][0]
        return result


def _refuse_unselective(params: Mapping[str, Any]) -> None:
    names = ("idle_for", "idle_in_transaction_for", "query_for", "role", "application")
    if not params["blocking"] and all(params.get(name) is None for name in names):
        raise UsageError(
            "choose sessions",
            on="database %s" % params["database"],
            got="no selector was given, so every session would match",
            next_step="set one of %s or blocking" % ", ".join(names),
        )


def _connect(login: Login) -> Any:
    deadline = time.monotonic() + CONNECT_PATIENCE
    while True:
        try:
            return read_session(login, login.maintenance_db, 5)
        except OncallError as exc:
            if exc.kind != "too_many_clients" or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _select(session: Any, params: Mapping[str, Any]) -> List[Session]:
    ages = ("idle_for", "idle_in_transaction_for", "query_for")
    given = {name: params.get(name) for name in (*ages, "role", "application")}
    wanted = dict(
        given, **{k: params[k] for k in ("database", "all_databases", "include_superusers", "blocking")}
    )
    wanted["except_applications"] = list(params.get("except_applications") or [])
    wanted["unaged"] = not params["blocking"] and all(given[name] is None for name in ages)
    found = [dict(zip(_COLUMNS, row)) for row in _rows_by_name(session, wanted)]  # noqa: B905 - Python 3.8
    for one in found:
        one["query"] = scrub(one["query"] or "", [params.get("login_password") or ""])
        one["seconds"] = round(one["seconds"] or 0.0, 1)
    return found


def _refuse_blind(session: Any, database: str) -> None:
    """Refuse when other roles' sessions are hidden: nothing would match, and that would look like success."""
    hidden = rows(session, _HIDDEN)[0][0]
    if hidden:
        raise DeniedError(
            "see the sessions of other roles",
            on="database %s" % database,
            got="%s hidden from the login role" % plural(hidden, "session"),
            next_step="use a superuser, or: GRANT pg_read_all_stats, pg_signal_backend TO the login role",
        )


def _rows_by_name(session: Any, wanted: Mapping[str, Any]) -> List[Tuple[Any, ...]]:
    with session.cursor() as cursor:
        cursor.execute(_SELECT, wanted)
        return list(cursor.fetchall())


def _predicted(found: List[Session], cancels: bool) -> Dict[str, Any]:
    lines = [
        "%(pid)d %(role)s@%(database)s %(application)s: %(state)s for %(seconds)g s" % one for one in found
    ]
    result: Dict[str, Any] = {
        "changed": bool(found),
        "sessions": found,
        "prediction": {
            "sessions": len(found),
            "summary": "%s %s%s"
            % (
                plural(len(found), "session"),
                "stay, and their queries are cancelled" if cancels else "ended",
                ", the longest idle or busy for %s" % span(found[0]["seconds"]) if found else "",
            ),
            "data_loss": "what these sessions have not committed" if found else "none",
        },
        "diff": {"before": "".join(line + "\n" for line in lines), "after": ""},
    }
    if found:
        result["undo"] = {
            "summary": "A cancelled query cannot be continued; its client may ask again."
            if cancels
            else "An ended session cannot be continued; its client connects again by itself.",
            "reversible": False,
        }
    return result


def _keys(found: Sequence[Session]) -> Tuple[Tuple[int, str], ...]:
    return tuple((one["pid"], one["started"]) for one in found)


def _cancel(session: Any, found: List[Session], grace: float) -> List[str]:
    """Cancel the very queries that were found; the sessions stay, and may go on with another."""
    _signal(session, "pg_cancel_backend", _keys(found))
    running = tuple((one["pid"], one["started"], one["since"]) for one in found)
    deadline = time.monotonic() + grace
    left = _busy(session, running)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = _busy(session, running)
    if not left:
        return ["cancelled"]
    raise VerificationError(
        "cancel %s" % plural(len(left), "session"),
        on="pids %s" % ", ".join(map(str, left)),
        got="the same query still runs %g s after it was cancelled" % grace,
        next_step="end these sessions instead (runbook database-failure, mitigation terminate-sessions)",
    )


def _busy(session: Any, running: Tuple[Tuple[int, str, str], ...]) -> List[int]:
    return [pid for (pid,) in rows(session, _BUSY, (running,))]


def _end(session: Any, found: List[Session], grace: float) -> List[str]:
    """Cancel, then terminate what is left; return what was needed."""
    keys = _keys(found)
    steps = []
    for function, done in (("pg_cancel_backend", "cancelled"), ("pg_terminate_backend", "terminated")):
        _signal(session, function, keys)
        steps.append(done)
        busy = [one for one in found if one["state"] == "active"]
        # Only a running query can be cancelled; an idle session is not waited for before it is terminated.
        wait = grace if function == "pg_terminate_backend" or busy else 0.0
        if not _wait_gone(session, keys, wait):
            return steps
    left = _left(session, keys)
    raise VerificationError(
        "end %s" % plural(len(left), "session"),
        on="pids %s" % ", ".join(map(str, left)),
        got="still there %g s after they were told to end" % grace,
        next_step="they may hang in the kernel; look at their state with ps, then restart PostgreSQL",
    )


def _signal(session: Any, function: str, keys: Tuple[Tuple[int, str], ...]) -> None:
    try:
        rows(session, _SIGNAL.format(function), (keys,))
    except Exception as exc:
        if getattr(exc, "pgcode", None) != "42501":
            raise
        raise DeniedError(
            "end sessions with %s" % function,
            got=" ".join(str(exc).split()),
            next_step="log in as a superuser, or: GRANT pg_signal_backend TO the login role",
        ) from None


def _left(session: Any, keys: Tuple[Tuple[int, str], ...]) -> List[int]:
    return [pid for (pid,) in rows(session, _LEFT, (keys,))]


def _wait_gone(session: Any, keys: Tuple[Tuple[int, str], ...], seconds: float) -> List[int]:
    deadline = time.monotonic() + seconds
    left = _left(session, keys)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = _left(session, keys)
    return left
