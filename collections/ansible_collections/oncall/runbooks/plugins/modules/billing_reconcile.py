#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare what Stripe says was paid with who is served."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: billing_reconcile
short_description: Find who paid at Stripe and is not served
version_added: 0.1.0
description:
  - Compares completed checkouts at Stripe with the subscribers and subscriptions in the application's database,
    for one subscriber or for everybody within the last hours.
  - A checkout counts when it is complete, its C(payment_status) is V(paid) or V(no_payment_required), and its subscription
    is C(active) or C(trialing) at Stripe now. One that is complete and unpaid (delayed methods of payment) does not.
  - Says too whether the webhook endpoint is enabled, which events were not delivered, and which subscriptions
    ended at Stripe and are still served, as after the restore of an older backup.
  - Stripe is asked on the controller, whose key never reaches the target; the database is asked on the target.
  - Whatever stands in the way of looking is a finding of status V(unknown), never V(ok) and never a failure that would stop
    the other diagnosis.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.stripe
  - oncall.runbooks.billing
  - oncall.runbooks.attributes.reads
options:
  escalate_at:
    description: From so many missed on, the summary says to escalate.
    type: int
    default: 3
  checks:
    description: Measure only these.
    type: list
    elements: str
    choices: [billing_webhook_endpoint, billing_webhook_pending, billing_missed, billing_ended]
    default: [billing_webhook_endpoint, billing_webhook_pending, billing_missed, billing_ended]
  sessions:
    description: Judge only these checkouts (ids at Stripe), which have to be paid, as after they were put right.
    type: list
    elements: str
    default: []
  follow_up:
    description:
      - What to run when something is found. Then no finding is worse than V(warn), and each ends with this.
      - For a look at billing in passing, as after the restore of a database.
    type: str
    default: ""
seealso:
  - module: oncall.runbooks.billing_activate
  - module: oncall.runbooks.webhook_resend
"""

EXAMPLES = r"""
- name: Who paid within the last three days and is not served
  oncall.runbooks.billing_reconcile:
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
findings:
  description:
    - One per check in O(checks).
    - Without C(billing_ended) when a subscriber or checkouts were named.
  returned: always
  type: list
  elements: dict
missed:
  description: Every payment whose subscriber is not served, and why. Addresses are masked.
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
ended:
  description: Rows that are served although their subscription ended at Stripe.
  returned: always
  type: list
  elements: dict
warnings:
  description: What the operator has to know beyond the findings, such as a clock that is wrong.
  returned: when there is any
  type: list
  elements: str
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.billing import reconcile
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tables import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec as login_spec


def main() -> None:
    """Read the database for the action plugin, which has asked Stripe."""
    spec: Dict[str, Any] = {**login_spec(), **argument_spec()}
    run_module(spec, reconcile.look)


if __name__ == "__main__":
    main()
