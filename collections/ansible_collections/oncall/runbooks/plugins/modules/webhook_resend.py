#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: the database is asked by M(oncall.runbooks.billing_reconcile)."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: webhook_resend
short_description: Have Stripe deliver missed events again and see the subscribers served
version_added: 0.1.0
description:
  - Finds, as M(oncall.runbooks.billing_reconcile) does, whose completed checkout was missed, has Stripe deliver the event to the
    application's endpoint again, and waits until the database says that the subscriber is served.
  - Sends each event once. When Stripe's answer is lost it is not sent again; the database says whether it arrived.
  - Refuses an endpoint that is disabled, an event that the application remembers to have handled, and a checkout that is not paid.
  - The call is the one of Stripe's own command line program, C(POST /v1/events/ID/retry). It is not in Stripe's public document
    and may cease to work; then activate by hand.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.stripe
  - oncall.runbooks.billing
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Names the events that would be sent.
  idempotent:
    details: An event whose subscriber is served is not sent again.
options:
  event:
    description: Send only this event.
    type: str
    default: ""
  timeout:
    description: Seconds within which the subscribers have to be served.
    type: float
    default: 30
  limit:
    description: Refuse when more than so many events would be sent.
    type: int
    default: 25
seealso:
  - module: oncall.runbooks.billing_activate
  - module: oncall.runbooks.webhook_endpoint
"""

EXAMPLES = r"""
- name: Have the missed events delivered again
  oncall.runbooks.webhook_resend:
    database: roost_prod
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
"""

RETURN = r"""
resent:
  description: The payments whose events were, or in check mode would be, sent again. Addresses are masked.
  returned: always
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
  description: Who is not served and cannot be helped by an event, and why.
  returned: always
  type: list
  elements: dict
prediction:
  description: How many events.
  returned: always
  type: dict
undo:
  description: Why this cannot be taken back.
  returned: when changed
  type: dict
"""
