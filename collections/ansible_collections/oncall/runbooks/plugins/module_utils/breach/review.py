# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read an audit log for a breach: who did what, from where, when, and whom it concerns."""

from __future__ import annotations

__metaclass__ = type

from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import parse_time
from ansible_collections.oncall.runbooks.plugins.module_utils.breach.audit_log import (
    AdminActivity,
    AuditLog,
    SuspectActivity,
    Window,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding, worst
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Error, Login

Finding = Dict[str, Any]
_SHOWN = 20


def review(params: Mapping[str, Any], *, now: Optional[Callable[[], datetime]] = None) -> Dict[str, Any]:
    """Return the module's result for the options of audit_review; nothing is ever changed."""
    clock = now or (lambda: datetime.now(timezone.utc))
    window = _window(params, clock())
    log = AuditLog.from_params(params)
    facts: Dict[str, Any] = {"window": {"since": window.since, "until": window.until}}
    try:
        options = "-c default_transaction_read_only=on -c statement_timeout=%d" % (params["timeout"] * 1000)
        login = Login.from_params(params, "oncall-audit-review")
        with closing(login.connect(params["database"], options=options)) as session:
            log.check(session)
            findings = list(_findings(log, session, window, params, facts))
    except (OncallError, Error) as error:
        text = error.message if isinstance(error, OncallError) else " ".join(str(error).split())
        findings = [finding("audit_log", "unknown", "The audit log could not be read: %s" % text)]
    findings.append(_declared(params))
    return {"changed": False, "findings": findings, "status": worst(findings), "review": facts}


def _window(params: Mapping[str, Any], now: datetime) -> Window:
    until = parse_time(params["until"], option="until") if params.get("until") else now
    since = until - timedelta(hours=params["window_hours"])
    if params.get("since"):
        since = parse_time(params["since"], option="since")
    if since >= until:
        raise UsageError(
            "read the audit log",
            on="since %s, until %s" % (since.isoformat(), until.isoformat()),
            got="the window is empty",
            next_step="set since to a time before until",
        )
    history = since - timedelta(days=params["history_days"])
    return Window(since.isoformat(), until.isoformat(), history.isoformat())


def _findings(
    log: AuditLog, session: Any, window: Window, params: Mapping[str, Any], facts: Dict[str, Any]
) -> Iterator[Finding]:
    yield _readable(log, session, window, facts)
    admins = log.admins(session, window, params["admin_types"])
    yield _admins(admins, params["known_admins"], facts)
    yield _bursts(log, session, window, params, facts)
    if params["actors"] or params["addresses"]:
        done = log.suspects(session, window, params["actors"], params["addresses"])
        yield from _affected(done, params, facts)


def _readable(log: AuditLog, session: Any, window: Window, facts: Dict[str, Any]) -> Finding:
    rows, first, last, actors = log.summary(session, window)
    begins = log.begins(session)
    facts.update(entries=rows, actors=actors)
    observed = {"entries": rows, "actors": actors, "first": _iso(first), "last": _iso(last)}
    if begins is None or begins > parse_time(window.since, option="since"):
        text = "The audit log begins %s, inside the window: what happened before cannot be seen" % (
            _iso(begins) or "nowhere (it is empty)"
        )
        return finding("audit_log", "warn", text, observed=observed, expected={"since": window.since})
    text = "%d entries of %d actors from %s to %s, all of them looked at" % (
        rows,
        actors,
        window.since,
        window.until,
    )
    return finding("audit_log", "ok", text, observed=observed)


def _admins(done: List[AdminActivity], known: List[str], facts: Dict[str, Any]) -> Finding:
    strange = [one for one in done if _strange(one, known)]
    facts["admins"] = [_activity(one, known) for one in done]
    if not strange:
        text = "%d administrators acted, each known and from an address used before" % len(
            {one.actor_id for one in done}
        )
        return finding("audit_admins", "ok", text, observed=facts["admins"][:_SHOWN])
    told = "; ".join("%s (%s)" % (_who(one), _strange(one, known)) for one in strange[:3])
    text = "%d unexpected administrator activities: %s" % (len(strange), told)
    observed = [_activity(one, known) for one in strange][:_SHOWN]
    return finding(
        "audit_admins", "fail", text, observed=observed, expected="known administrators and addresses"
    )


def _strange(one: AdminActivity, known: List[str]) -> str:
    """Why this activity is unexpected; an empty text when it is not."""
    if known and one.actor_id not in known:
        return "not one of the known administrators"
    if not known and not one.seen_before:
        return "this administrator never acted before"
    return "" if one.address_seen_before else "from %s, never used before" % one.address


def _who(one: AdminActivity) -> str:
    return "%s %s, %d actions from %s" % (one.actor_type, one.actor_id, one.actions, _iso(one.first))


def _activity(one: AdminActivity, known: List[str]) -> Dict[str, Any]:
    shown = dict(vars(one), first=_iso(one.first), last=_iso(one.last), unexpected=_strange(one, known))
    return dict(shown, kinds=list(one.kinds), resources=list(one.resources or []))


def _bursts(
    log: AuditLog, session: Any, window: Window, params: Mapping[str, Any], facts: Dict[str, Any]
) -> Finding:
    limit = params["burst_per_hour"]
    if not params["sensitive_actions"]:
        text = "Not measured: no sensitive_actions are declared"
        return finding("audit_bursts", "unknown", text)
    found = log.bursts(session, window, params["sensitive_actions"], limit)
    facts["bursts"] = [dict(vars(burst), hour=_iso(burst.hour)) for burst in found]
    if not found:
        return finding("audit_bursts", "ok", "Nobody did more than %d sensitive actions in an hour" % limit)
    top = facts["bursts"][0]
    text = "%s %s did %d sensitive actions in the hour of %s, more than %d" % (
        top["actor_type"],
        top["actor_id"],
        top["actions"],
        top["hour"],
        limit,
    )
    return finding("audit_bursts", "fail", text, observed=facts["bursts"], expected={"per_hour": limit})


def _affected(done: SuspectActivity, params: Mapping[str, Any], facts: Dict[str, Any]) -> Iterator[Finding]:
    categories = sorted({params["categories"].get(name, name) for name in done.resources})
    shown = dict(vars(done), first=_iso(done.first), last=_iso(done.last))
    # Ids serve the mitigations; a finding is read, and kept, by people.
    ids = shown.pop("subject_ids")
    facts["suspects"] = dict(shown, subjects=len(ids))
    affected = {"subscribers": len(ids), "categories": categories}
    facts["affected"] = dict(affected, subject_ids=ids)
    if not done.actions:
        text = "The suspects did nothing in the window: widen it (since), or correct the suspects"
        yield finding("audit_suspects", "warn", text, observed=facts["suspects"])
        return
    text = "The suspects did %d actions between %s and %s" % (done.actions, _iso(done.first), _iso(done.last))
    yield finding("audit_suspects", "fail", text, observed=facts["suspects"])
    if "subject" not in params["columns"] or not params["columns"]["subject"]:
        text = "The audit log does not say whose data was touched: take every subscriber as affected"
        yield finding("breach_affected", "unknown", text, observed=affected)
        return
    text = "%d subscribers are affected; data: %s" % (len(ids), ", ".join(categories) or "not told")
    yield finding("breach_affected", "fail" if len(ids) else "ok", text, observed=affected)


def _declared(params: Mapping[str, Any]) -> Finding:
    if params["declared"]:
        text = "A breach was declared by the operator"
        return finding("breach_declared", "fail", text, observed={"declared": True})
    return finding("breach_declared", "ok", "No breach was declared", observed={"declared": False})


def _iso(moment: Any) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds") if moment else ""
