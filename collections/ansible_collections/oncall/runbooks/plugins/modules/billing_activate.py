#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Activate a subscriber who paid and was missed, or take that back."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: billing_activate
short_description: Activate who paid at Stripe and is not served
version_added: 0.1.0
description:
  - Does by hand what the lost event of a completed checkout would have done, for one subscriber or for everybody who was missed.
  - Asks Stripe first, and refuses whoever has no completed payment there.
  - Changes in one transaction, with every row locked, exactly the row of the subscription that was paid, the subscriber's status, and the
    tokens that were revoked for non-payment. Tokens that were revoked for another reason stay revoked.
  - Statuses that a payment does not end (suspended, closed, banned) are refused unless confirmed by name.
  - Returns every value that was overwritten, so that V(restored) puts back exactly these.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.stripe
  - oncall.runbooks.billing
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Asks Stripe and the database, in a read-only transaction, and shows every row as it would be.
  diff_mode:
    details: Every row before and after; in check mode the same text.
  idempotent:
    details: Of two that run at once, the second waits and then finds nothing to do.
options:
  state:
    description:
      - V(activated) activates who was missed.
      - V(restored) puts back what the O(ledger) says. A token that was revoked again since stays revoked.
    type: str
    choices: [activated, restored]
    default: activated
  ledger:
    description: With O(state=restored), what the activation returned as C(undo.args.ledger).
    type: dict
  confirm_status:
    description: Also activate subscribers who have this status, which a payment alone does not end.
    type: str
    default: ""
  limit:
    description: With nobody named, refuse when more than so many would be activated; then rather the inventory is wrong.
    type: int
    default: 25
  tokens:
    description: Tables of tokens that are revoked for non-payment. One without a reason cannot be used here.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: Its name, as C(schema.table).
        type: str
        required: true
      key:
        description: Columns of the primary key.
        type: list
        elements: str
        default: [id]
      subscriber:
        description: Column with the subscriber's id.
        type: str
        default: subscriber_id
      revoked_at:
        description: Column that is NULL while a token is valid.
        type: str
        default: revoked_at
      reason:
        description: Column that says why a token was revoked.
        type: str
        required: true
      unpaid:
        description: Reasons that mean non-payment.
        type: list
        elements: str
        required: true
  audit:
    description: The table that keeps who did what; one row per subscriber is written in the same transaction.
    type: dict
    suboptions:
      table:
        description: Its name, as C(schema.table).
        type: str
        required: true
      values:
        description: Columns and what is written into them as it is.
        type: dict
      subject:
        description: Column for the subscriber's id. Empty means none.
        type: str
        default: ""
      detail:
        description: Column for the details, as JSON. Empty means none.
        type: str
        default: ""
seealso:
  - module: oncall.runbooks.billing_reconcile
  - module: oncall.runbooks.webhook_resend
"""

EXAMPLES = r"""
- name: Activate one subscriber whose payment Stripe confirms
  oncall.runbooks.billing_activate:
    database: roost_prod
    email: o'brien@example.org
    api_key: "{{ stripe_api_key }}"
    endpoint: https://api.example.org/webhooks/stripe
    login_host: 127.0.0.1
    login_user: roost
    login_password: "{{ postgres_login_password }}"
    subscribers:
      table: public.subscribers
      customer: stripe_customer_id
      served: {active: [active]}
      activate_from: [pending, trial, past_due]
    subscriptions:
      table: public.subscriptions
      subscription: stripe_subscription_id
      served: {active: [active], trialing: [trialing, active]}
      activate_from: [incomplete, past_due]
    tokens:
      - table: public.api_tokens
        reason: revoked_reason
        unpaid: [non_payment]
    audit:
      table: public.audit_log
      values: {actor_type: operator, action: billing.activate, resource_type: subscription}
      detail: detail
"""

RETURN = r"""
activated:
  description: The payments whose subscribers were, or in check mode would be, activated. Addresses are masked.
  returned: with O(state=activated)
  type: list
  elements: dict
  sample:
    - verdict: missed
      reason: the subscriber is pending, the subscription incomplete
      email: o***@example.org
      subscriber_id: "4711"
      matched_by: customer
      session: cs_live_a1
      subscription: sub_1
      customer: cus_1
      event: evt_1
      pending: 1
      received: false
      completed: 1795255200.0
left_alone:
  description: Who is not served and was not activated, and why; with O(state=restored), tokens that were changed since.
  returned: always
  type: list
  elements: dict
prediction:
  description: How many subscribers and tokens.
  returned: always
  type: dict
undo:
  description: How to take this back, with every value that was overwritten.
  returned: when changed
  type: dict
warnings:
  description: What the operator has to know besides, such as a clock that is wrong.
  returned: when there is any
  type: list
  elements: str
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.billing import activate, restore, tokens
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tables import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec as login_spec


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Activate or take back."""
    work = restore.restore if params["state"] == "restored" else activate.activate
    return work(params, check_mode=check_mode)


def main() -> None:
    """Change the database for the action plugin, which has asked Stripe."""
    word: Dict[str, Any] = {"type": "str", "default": ""}
    audit = {
        "table": {"type": "str", "required": True},
        "values": {"type": "dict"},
        "subject": word,
        "detail": word,
    }
    spec: Dict[str, Any] = {
        **login_spec(),
        **argument_spec(),
        "state": {"type": "str", "choices": ["activated", "restored"], "default": "activated"},
        "ledger": {"type": "dict"},
        "confirm_status": word,
        "limit": {"type": "int", "default": 25},
        "tokens": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "no_log": False,
            "options": tokens.argument_spec(),
        },
        "audit": {"type": "dict", "options": audit},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
