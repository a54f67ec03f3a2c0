# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do by hand what a missed event would have done: one transaction, locked rows, a ledger."""

from __future__ import annotations

__metaclass__ = type

import json
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.billing import changes as ch
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import (
    CONFLICT,
    HELD,
    MISSED,
    told,
    verdict,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.look import looked
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.session import session, transaction
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tables import (
    Audit,
    Tables,
    described_audit,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tokens import Revoked
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import split_name

Row = Dict[str, Any]
_ROLE, _ENTRY = "oncall.runbooks.billing", "activate_undo"


class Activation:
    """One call: what to activate, in which tables, on whose word."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.tables = Tables.from_params(params)
        self.tokens = [Revoked.from_option(option) for option in params["tokens"] or []]
        audit = params.get("audit")
        self.audit = (
            Audit(*split_name(audit["table"]), audit["values"] or {}, audit["subject"], audit["detail"])
            if audit
            else None
        )
        self.limit = params["limit"]
        self.confirm_status = params["confirm_status"]
        given = params["stripe"] or {}
        self.about = given.get("about") or {}
        self.only = str(given.get("subscriber_id") or "")  # whoever was named; "" for everybody

    def described(self, connection: Any) -> None:
        """See that every table, column and right is there before anything is locked."""
        self.tables = self.tables.described(connection, changing=True)
        self.tokens = [table.described(connection) for table in self.tokens]
        self.audit = described_audit(connection, self.audit) if self.audit else None

    def judged(self, connection: Any, payments: Sequence[Row]) -> List[Row]:
        """Return a verdict per payment; what is somebody else's is never taken for that of who was named."""
        found = [verdict(one, self.tables) for one in looked(connection, self.tables, payments)]
        for judged in found:
            owner = (judged["subscriber"] or {}).get("id", self.only)
            if self.only and owner != self.only:
                reason = "the payment belongs to subscriber %s, not to %s" % (owner, self.only)
                judged.update(verdict=CONFLICT, reason=reason)
        return found


def activate(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Activate those of the payments in `stripe` whose subscribers are not served, or predict it."""
    wanted = Activation(params)
    payments: List[Row] = params["stripe"]["payments"]
    with session(params) as connection:
        wanted.described(connection)
        with transaction(connection, read_only=check_mode):
            if not check_mode:
                _lock(connection, wanted.tables, payments)
            judged = wanted.judged(connection, payments)
            chosen = [j for j in judged if _is_wanted(j, wanted)]
            left = [j for j in judged if j not in chosen and j["verdict"] != "served"]
            if wanted.only:
                _refuse_single(left)
            _refuse_many(chosen, wanted.limit)
            planned = _changes(connection, wanted, chosen, locked=not check_mode)
            made = planned if check_mode else [ch.make(connection, change) for change in planned]
            if chosen and not check_mode:
                note(connection, wanted, chosen, "activated")
    return _result(chosen, left, planned, made)


def _is_wanted(judged: Row, wanted: Activation) -> bool:
    held = judged["verdict"] == HELD and judged["row"] is not None
    return judged["verdict"] == MISSED or (
        held and bool(wanted.confirm_status) and judged["subscriber"]["status"] == wanted.confirm_status
    )


def _lock(connection: Any, tables: Tables, payments: Sequence[Row]) -> None:
    """Lock whom and what the payments concern; what is judged afterwards cannot change any more."""
    found = looked(connection, tables, payments)
    people = sorted({person["id"] for one in found for person in one["subscribers"]})
    rows = sorted({row["id"] for one in found for row in one["rows"]})
    ch.lock(connection, tables.subscribers.ident, tables.subscribers.id, people)
    ch.lock(connection, tables.subscriptions.ident, tables.subscriptions.id, rows)


_NEXT = {
    "held": "when it is right all the same, confirm it: confirm_status=<that status>",
    "no_row": "let the application make it: resend the event (mitigation resend-event)",
    "ambiguous": "give subscriber_id instead of the address",
    "unknown": "ask the subscriber which address the account has",
    "conflict": "look at the row by hand",
}


def _refuse_single(left: Sequence[Row]) -> None:
    """Whoever was named and cannot be activated is an error, not a line in a list."""
    for judged in left:
        raise ConflictError(
            "activate the subscriber",
            on="%s, session %s" % (told(judged)["email"], judged["session"]),
            got=judged["reason"],
            next_step=_NEXT[judged["verdict"]] + " (nothing was changed)",
            kind=judged["verdict"],
        )


def _refuse_many(chosen: Sequence[Row], limit: int) -> None:
    if len(chosen) > limit:
        raise ConflictError(
            "activate everybody who was missed",
            got="%d subscribers would be activated, more than %d" % (len(chosen), limit),
            next_step="see whether the statuses in the inventory are right; if they are, set limit higher"
            " (nothing was changed)",
            kind="too_many",
        )


def _changes(connection: Any, wanted: Activation, chosen: Sequence[Row], *, locked: bool) -> List[ch.Change]:
    made: List[ch.Change] = []
    for judged in chosen:
        made += _rows_of(wanted.tables, judged)
    people = sorted({judged["subscriber"]["id"] for judged in chosen})
    for table in wanted.tokens:
        made += table.changes(connection, people, locked=locked)
    unique = {(c.table, tuple(c.key.items())): c for c in made}  # a subscriber may have two subscriptions
    return list(unique.values())


def _rows_of(tables: Tables, judged: Row) -> List[ch.Change]:
    payer, bought = tables.subscribers, tables.subscriptions
    person, row, status = judged["subscriber"], judged["row"], judged["status"]
    before: ch.Values = {bought.status: row["status"], bought.subscription: row["subscription"]}
    after: ch.Values = {bought.subscription: judged["subscription"]}
    served = bought.statuses.fits(row["status"], status)
    after[bought.status] = row["status"] if served else bought.statuses.served[status][0]
    _add_period(bought, judged, before, after)
    made = [ch.Change(bought.place, {bought.id: row["id"]}, before, after)]
    before, after = {payer.status: person["status"]}, {payer.status: person["status"]}
    if not payer.statuses.fits(person["status"], status):
        after = {payer.status: payer.statuses.served[status][0]}
    if payer.customer and person["customer"] is None and judged["customer"]:
        before[payer.customer], after[payer.customer] = None, judged["customer"]
    made.append(ch.Change(payer.place, {payer.id: person["id"]}, before, after))
    return [change for change in made if change.before != change.after]


def _add_period(bought: Any, judged: Row, before: ch.Values, after: ch.Values) -> None:
    start, end = _moment(judged["period_start"]), _moment(judged["period_end"])
    if start is None or end is None:
        return
    for name, text in (
        (bought.period, '["%s","%s")' % (start, end)),
        (bought.period_start, start),
        (bought.period_end, end),
    ):
        if name:
            option = next(o for o in ("period", "period_start", "period_end") if getattr(bought, o) == name)
            before[name], after[name] = judged["row"][option], text


def _moment(seconds: Optional[float]) -> Optional[str]:
    """Return a moment as PostgreSQL writes it in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S+00")


def note(connection: Any, wanted: Activation, people: Sequence[Row], did: str) -> None:
    """Write one row of the audit table per subscriber, in the same transaction."""
    if not wanted.audit:
        return
    for judged in people:
        about = {key: judged.get(key) for key in ("session", "event", "subscription") if judged.get(key)}
        detail = dict(wanted.about, did=did, subscriber=judged["subscriber"]["id"], **about)
        values: Dict[str, Any] = dict(wanted.audit.values)
        if wanted.audit.subject:
            values[wanted.audit.subject] = judged["subscriber"]["id"]
        if wanted.audit.detail:
            values[wanted.audit.detail] = json.dumps(detail, sort_keys=True)
        query = pg.statement(
            "INSERT INTO {} ({}) VALUES ({})",
            wanted.audit.ident,
            pg.raw(", ").join([pg.ident(name) for name in values]),
            pg.raw(", ").join([pg.literal(value) for value in values.values()]),
        )
        pg.rows(connection, query)


def _result(
    chosen: Sequence[Row],
    left: Sequence[Row],
    planned: Sequence[ch.Change],
    made: Sequence[ch.Change],
) -> Dict[str, Any]:
    people = sorted({judged["subscriber"]["id"] for judged in chosen})
    tokens = sum(1 for change in made if change.token)
    summary = "nobody who paid is without service"
    if people:
        summary = "%s activated, %d of their tokens that were revoked for non-payment valid again" % (
            "1 subscriber" if len(people) == 1 else "%d subscribers" % len(people),
            tokens,
        )
    result: Dict[str, Any] = {
        "changed": bool(made),
        "activated": [told(judged) for judged in chosen],
        "left_alone": [told(judged) for judged in left],
        "prediction": {
            "summary": summary,
            "subscribers": len(people),
            "tokens": tokens,
            "data_loss": "none",
        },
        "diff": ch.diff(planned),
    }
    if made:
        args = {"ledger": {"changes": [change.as_entry() for change in made], "subscribers": people}}
        result["undo"] = {
            "summary": "put the rows of %s back as they were" % ", ".join("subscriber " + p for p in people),
            "reversible": True,
            "role": _ROLE,
            "entry_point": _ENTRY,
            "args": args,
        }
    return result
