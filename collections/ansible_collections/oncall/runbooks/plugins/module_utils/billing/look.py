# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the database says about those who paid: read by parameters only, whatever an address contains."""

from __future__ import annotations

__metaclass__ = type

import re
from collections import defaultdict
from typing import Any, Callable, Dict, Iterable, List, Sequence, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.changes import by_name, texts
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tables import (
    Subscribers,
    Subscriptions,
    Tables,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import require_fit

Row = Dict[str, Any]
_CHUNK = 500
# Texts that a column of this type takes; another type is not looked up by an id from outside.
_FITS = {
    "bigint": r"\d{1,18}",
    "integer": r"\d{1,9}",
    "smallint": r"\d{1,4}",
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "text": r"(?s).+",
    "character varying": r"(?s).+",
}


def _subscribers(connection: Any, table: Subscribers, key: str, values: Iterable[str]) -> List[Row]:
    """Return those whose column `key` (id, email, customer) is one of `values`."""
    wanted, found = sorted(set(values)), []
    customer = pg.ident(table.customer) if table.customer else pg.raw("NULL")
    column = pg.ident(getattr(table, key))
    query = pg.statement(
        "SELECT {}, {}::text FROM {} WHERE {} IN %s",
        texts((table.id, table.email, table.status)),
        customer,
        table.ident,
        pg.statement("lower({}::text)", column) if key == "email" else column,
    )
    for start in range(0, len(wanted), _CHUNK):
        found += pg.rows(connection, query, (tuple(wanted[start : start + _CHUNK]),))
    return [by_name(("id", "email", "status", "customer"), row) for row in found]


def by_customer(connection: Any, table: Subscribers, customers: Iterable[str]) -> List[Row]:
    """Return the subscribers with these ids of Stripe."""
    return _subscribers(connection, table, "customer", customers) if table.customer else []


def by_id(connection: Any, table: Subscribers, ids: Iterable[str]) -> List[Row]:
    """Return the subscribers with these ids; a text that cannot be an id is nobody's."""
    pattern = _FITS.get(table.id_type)
    return _subscribers(connection, table, "id", [i for i in ids if pattern and re.fullmatch(pattern, i)])


def by_email(connection: Any, table: Subscribers, emails: Iterable[str]) -> List[Row]:
    """Return the subscribers with these addresses, whatever the case of their letters."""
    return _subscribers(connection, table, "email", [e.strip().lower() for e in emails if e.strip()])


def named(connection: Any, tables: Tables, email: str, subscriber_id: str) -> List[Row]:
    """Return who has this address, or this id; raises UsageError when the id is not of the column's type."""
    if subscriber_id:
        table = tables.subscribers
        require_fit(connection, table, (table.id, table.id_type), subscriber_id, "subscriber_id")
        return _subscribers(connection, table, "id", [subscriber_id])
    return by_email(connection, tables.subscribers, [email])


def matched(connection: Any, table: Subscribers, payments: Sequence[Row]) -> List[Tuple[str, List[Row]]]:
    """Return per payment by what subscribers were found (customer, reference, email), and which.

    The strongest proof wins: the customer's id, then the id that the application gave the checkout, then the
    address, which whoever paid may have typed differently.
    """
    result: List[Tuple[str, List[Row]]] = [("", [])] * len(payments)
    steps: List[Tuple[str, str, str, Callable[..., List[Row]]]] = [
        ("customer", "customer", "customer", by_customer),
        ("reference", "reference", "id", by_id),
        ("email", "email", "email", by_email),
    ]
    for word, said, column, search in steps:
        open_ones = [n for n, (_word, rows) in enumerate(result) if not rows and payments[n][said]]
        found: Dict[str, List[Row]] = defaultdict(list)
        for row in search(connection, table, [payments[n][said] for n in open_ones]):
            found[str(row[column]).strip().lower()].append(row)
        for n in open_ones:
            rows = found.get(str(payments[n][said]).strip().lower(), [])
            result[n] = (word, rows) if rows else ("", [])
    return result


def linked(connection: Any, table: Subscriptions, ids: Iterable[str]) -> Dict[str, List[Row]]:
    """Return the rows of these subscriptions of Stripe, by Stripe's id."""
    return _rows_by(connection, table, table.subscription, ids, "subscription")


def unlinked(connection: Any, table: Subscriptions, subscribers: Iterable[str]) -> Dict[str, List[Row]]:
    """Return rows that wait for their first payment and have no id of Stripe yet, by subscriber."""
    found = _rows_by(connection, table, table.subscriber, subscribers, "subscriber")
    waiting = table.statuses.activate_from
    return {
        key: [row for row in rows if row["subscription"] is None and row["status"] in waiting]
        for key, rows in found.items()
    }


def _rows_by(
    connection: Any, table: Subscriptions, column: str, values: Iterable[str], key: str
) -> Dict[str, List[Row]]:
    wanted = sorted(set(values))
    names = ("id", "subscriber", "status", "subscription")
    periods = [name for name in ("period", "period_start", "period_end") if getattr(table, name)]
    query = pg.statement(
        "SELECT {} FROM {} WHERE {} IN %s",
        texts([getattr(table, name) for name in (*names, *periods)]),
        table.ident,
        pg.ident(column),
    )
    found: Dict[str, List[Row]] = defaultdict(list)
    for start in range(0, len(wanted), _CHUNK):
        for row in pg.rows(connection, query, (tuple(wanted[start : start + _CHUNK]),)):
            made = by_name((*names, *periods), row)
            found[made[key]].append(made)
    return found


def received(connection: Any, tables: Tables, events: Iterable[str]) -> Set[str]:
    """Return which of these events the application remembers to have handled."""
    table, wanted = tables.events, sorted(set(events))
    if not table or not wanted:
        return set()
    query = pg.statement("SELECT {}::text FROM {} WHERE {} IN %s", pg.ident(table.event), table.ident,
                         pg.ident(table.event))  # fmt: skip
    return {row[0] for row in pg.rows(connection, query, (tuple(wanted),))}


def looked(connection: Any, tables: Tables, payments: Sequence[Row]) -> List[Row]:
    """Return every payment with what the database has: `subscribers`, `matched_by`, `rows`, `received`."""
    found = matched(connection, tables.subscribers, payments)
    rows = linked(connection, tables.subscriptions, [p["subscription"] for p in payments])
    pairs = list(zip(payments, found))  # noqa: B905 - Python 3.8
    lonely = {
        people[0]["id"] for p, (_word, people) in pairs if len(people) == 1 and p["subscription"] not in rows
    }
    waiting = unlinked(connection, tables.subscriptions, lonely)
    handled = received(connection, tables, [p["event"] for p in payments if p["event"]])
    return [
        dict(
            payment,
            subscribers=people,
            matched_by=word,
            rows=rows.get(payment["subscription"]) or waiting.get(people[0]["id"] if people else "", []),
            received=payment["event"] in handled,
        )
        for payment, (word, people) in pairs
    ]


def served_rows(connection: Any, tables: Tables, ended: Iterable[str]) -> List[Row]:
    """Return the rows that are still served although their subscription has ended at Stripe."""
    found = linked(connection, tables.subscriptions, ended)
    words = tables.subscriptions.statuses.words
    return [row for rows in found.values() for row in rows if row["status"] in words]
