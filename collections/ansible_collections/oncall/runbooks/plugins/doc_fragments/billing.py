# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of everything that compares payments with an application's database."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """Where the application keeps whom; mirrors `module_utils.billing.tables.argument_spec`."""

    DOCUMENTATION = r"""
options:
  database:
    description: The application's database.
    type: str
    required: true
  email:
    description: Look at one subscriber only, by the address of the account, in upper or lower case.
    type: str
    default: ""
  subscriber_id:
    description: Look at one subscriber only, by the id in the database, where an address is not enough.
    type: str
    default: ""
  window_hours:
    description: With nobody named, look at checkouts that were completed within so many hours.
    type: float
    default: 72
  grace:
    description: Seconds that an event may still be under way before its checkout counts as missed.
    type: float
    default: 120
  subscribers:
    description: The table of those who pay.
    type: dict
    required: true
    suboptions:
      table:
        description: Its name, as C(schema.table).
        type: str
        required: true
      id:
        description: Column with the primary key.
        type: str
        default: id
      email:
        description: Column with the address.
        type: str
        default: email
      customer:
        description: Column with Stripe's customer id. Empty when it is not kept.
        type: str
        default: ""
      status:
        description: Column with the status.
        type: str
        default: status
      served:
        description:
          - Per status at Stripe (C(active), C(trialing)) the list of statuses that fit it.
          - An activation writes the first one. Without C(trialing) it is the same as for C(active).
        type: dict
        required: true
      activate_from:
        description: Statuses that a payment ends. Whoever is in another one is not activated.
        type: list
        elements: str
        required: true
  subscriptions:
    description: The table of what they bought.
    type: dict
    required: true
    suboptions:
      table:
        description: Its name, as C(schema.table).
        type: str
        required: true
      id:
        description: Column with the primary key.
        type: str
        default: id
      subscriber:
        description: Column with the subscriber's id.
        type: str
        default: subscriber_id
      subscription:
        description:
          - Column with Stripe's subscription id.
          - With O(subscriptions.mode=payment) the column with the id of Stripe's PaymentIntent.
          - When no row has it, the subscriber's one row without any is taken, if its status is in
            O(subscriptions.activate_from).
        type: str
        required: true
      mode:
        description:
          - Which checkouts the table is about, those that buy a subscription, or those that pay once.
          - What was paid once counts as C(active) at Stripe.
        type: str
        default: subscription
        choices: [subscription, payment]
      status:
        description: Column with the status.
        type: str
        default: status
      served:
        description: Statuses that fit those at Stripe, as in O(subscribers.served).
        type: dict
        required: true
      activate_from:
        description: Statuses that a payment ends.
        type: list
        elements: str
        required: true
      period:
        description: Column with the time paid for, as a range. Empty when it is not kept.
        type: str
        default: ""
      period_start:
        description: Column with the beginning of the time paid for. Empty when it is not kept.
        type: str
        default: ""
      period_end:
        description: Column with the end of the time paid for. Empty when it is not kept.
        type: str
        default: ""
  events:
    description: The table in which the application remembers the events that it has handled.
    type: dict
    suboptions:
      table:
        description: Its name, as C(schema.table).
        type: str
        required: true
      event:
        description: Column with Stripe's event id.
        type: str
        required: true
  stripe:
    description: Filled in by the action plugin. A value given in a task is refused.
    type: dict
"""
