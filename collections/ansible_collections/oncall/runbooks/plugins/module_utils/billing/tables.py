# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an application keeps its subscribers and subscriptions, and which of their statuses mean what."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Column,
    Relation,
    denied,
    find,
    require,
    require_fit,
    split_name,
)

#: statuses of a subscription at Stripe in which somebody who paid has to be served
LIVE = ("active", "trialing")
#: modes of a checkout at Stripe: what is paid again and again, and what is paid once
SUBSCRIPTION, PAYMENT = "subscription", "payment"
_OF_SUBSCRIPTIONS = ("id", "subscriber", "status", "subscription", "period", "period_start", "period_end")


@dataclass(frozen=True)
class Statuses:
    """What a status column says: `served` has the words that fit a status at Stripe, the first is written."""

    served: Mapping[str, Tuple[str, ...]]
    activate_from: Tuple[str, ...]

    @classmethod
    def from_option(cls, option: Mapping[str, Any], name: str) -> "Statuses":
        """Return what `served` and `activate_from` say; raises UsageError when they cannot be used."""
        served = {
            str(key): tuple(map(str, words)) if isinstance(words, list) else (str(words),)
            for key, words in (option["served"] or {}).items()
        }
        unknown = sorted(set(served) - set(LIVE))
        if unknown or not served.get("active"):
            raise UsageError(
                "use the option %s.served" % name,
                got="it has %s" % (", ".join(served) or "nothing"),
                next_step="give a list of statuses for active, and one for trialing where it differs",
            )
        served.setdefault("trialing", served["active"])
        return cls(served, tuple(option["activate_from"]))

    def fits(self, status: str, at_stripe: str) -> bool:
        """Whether a row with `status` is served as `at_stripe` says."""
        return status in self.served.get(at_stripe, ())

    @property
    def words(self) -> List[str]:
        """Every status that is written or looked for."""
        return list(dict.fromkeys([w for words in self.served.values() for w in words]))


@dataclass(frozen=True)
class Subscribers(Relation):
    """The table of those who pay; an empty `customer` means that Stripe's id of them is not kept."""

    id: str
    email: str
    status: str
    customer: str
    statuses: Statuses
    id_type: str = ""


@dataclass(frozen=True)
class Subscriptions(Relation):
    """The table of what was bought; `period*` are empty where the time paid for is not kept.

    mode: of the checkouts that it is about. With PAYMENT, `subscription` has ids of Stripe's PaymentIntents.
    """

    id: str
    subscriber: str
    status: str
    subscription: str
    statuses: Statuses
    period: str = ""
    period_start: str = ""
    period_end: str = ""
    mode: str = SUBSCRIPTION


@dataclass(frozen=True)
class Events(Relation):
    """The table in which the application remembers events that it has handled."""

    event: str


@dataclass(frozen=True)
class Audit(Relation):
    """The table that keeps who did what; `values` are written as they are."""

    values: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Tables:
    """All of them, as the inventory declares them."""

    subscribers: Subscribers
    subscriptions: Subscriptions
    events: Optional[Events] = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Tables":
        """Return the tables that the options of the doc fragment `billing` declare."""
        payer, bought, events = params["subscribers"], params["subscriptions"], params.get("events")
        return cls(
            Subscribers(
                *split_name(payer["table"]),
                statuses=Statuses.from_option(payer, "subscribers"),
                **{name: payer[name] or "" for name in ("id", "email", "status", "customer")},
            ),
            Subscriptions(
                *split_name(bought["table"]),
                statuses=Statuses.from_option(bought, "subscriptions"),
                **{name: bought[name] or "" for name in _OF_SUBSCRIPTIONS},
                mode=bought["mode"],
            ),
            Events(*split_name(events["table"]), event=events["event"]) if events else None,
        )

    def described(self, connection: Any, *, changing: bool = False) -> "Tables":
        """Return the tables checked against the catalog: every table, column, status and right is there.

        changing: whether rows will be updated. Raises an OncallError that names what is missing.
        """
        payer, bought = self.subscribers, self.subscriptions
        changed = [payer.status, payer.customer] if changing else []
        columns = _look(connection, payer, [payer.id, payer.email, payer.status, payer.customer], changed)
        require_statuses(connection, payer, columns[payer.status], payer.statuses, "subscribers.served")
        id_type = columns[payer.id].base
        periods = [bought.period, bought.period_start, bought.period_end]
        changed = [bought.status, bought.subscription, *periods] if changing else []
        used = [bought.id, bought.subscriber, bought.status, bought.subscription, *periods]
        columns = _look(connection, bought, used, changed)
        require_statuses(connection, bought, columns[bought.status], bought.statuses, "subscriptions.served")
        if self.events:
            _look(connection, self.events, [self.events.event], [])
        return replace(self, subscribers=replace(payer, id_type=id_type))


def _look(connection: Any, relation: Relation, used: List[str], changed: List[str]) -> Mapping[str, Column]:
    _oid, columns = find(connection, relation)
    require(connection, relation, columns, [n for n in used if n], [n for n in changed if n])
    return columns


def require_statuses(
    connection: Any, relation: Relation, column: Column, statuses: Statuses, option: str
) -> None:
    """Refuse words that the status column can never hold."""
    for word in [*statuses.words, *statuses.activate_from]:
        require_fit(connection, relation, ("status", column.type_text), word, option)


def described_audit(connection: Any, audit: Audit) -> Audit:
    """Return the audit table when the role may write all that belongs into a row of it."""
    oid, columns = find(connection, audit)
    used = [*audit.values, *(name for name in (audit.subject, audit.detail) if name)]
    missing = [name for name in used if name not in columns]
    if missing:
        got = "it has no column %s (it has %s)" % (", ".join(missing), ", ".join(columns))
        raise audit.wrong("missing_column", got, "correct the option audit")
    for name in used:
        if not pg.value(connection, "SELECT has_column_privilege(%s::oid, %s, 'INSERT')", (oid, name)):
            raise denied(connection, audit, "INSERT ON {}", audit.ident)
    return audit


def argument_spec() -> Dict[str, Dict[str, Any]]:
    """Return the options of the doc fragment `billing`."""
    word: Dict[str, Any] = {"type": "str", "required": True}
    maybe: Dict[str, Any] = {"type": "str", "default": ""}
    status: Dict[str, Any] = {
        "status": {"type": "str", "default": "status"},
        "served": {"type": "dict", "required": True},
        "activate_from": {"type": "list", "elements": "str", "required": True},
    }
    payer = {"table": word, "id": {"type": "str", "default": "id"}, "customer": maybe, **status}
    payer["email"] = {"type": "str", "default": "email"}
    bought = {"table": word, "id": {"type": "str", "default": "id"}, "subscription": word, **status}
    bought["subscriber"] = {"type": "str", "default": "subscriber_id"}
    bought.update(period=maybe, period_start=maybe, period_end=maybe)
    bought["mode"] = {"type": "str", "default": SUBSCRIPTION, "choices": [SUBSCRIPTION, PAYMENT]}
    return {
        "database": {"type": "str", "required": True},
        "subscribers": {"type": "dict", "required": True, "options": payer},
        "subscriptions": {"type": "dict", "required": True, "options": bought},
        "events": {"type": "dict", "options": {"table": word, "event": word}},
        "stripe": {"type": "dict"},
    }
