# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of everything that asks Stripe."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """How to reach the account, and which webhook endpoint is the application's."""

    DOCUMENTATION = r"""
options:
  api_url:
    description: Address of Stripe's API.
    type: str
    default: https://api.stripe.com
  api_key:
    description:
      - Secret or restricted key. It stays on the controller.
      - A restricted key reads Checkout Sessions, Customers, Events, Subscriptions and Webhook Endpoints.
      - To change something it needs to write Webhook Endpoints and Events.
    type: str
    required: true
  api_version:
    description: Version of the API to speak, whatever the account's own is.
    type: str
    default: "2023-08-16"
  api_timeout:
    description: Seconds that one request may take.
    type: float
    default: 10
  mode:
    description:
      - Which data is meant.
      - A key of the other mode is refused, because it would say that nobody paid.
    type: str
    choices: [live, test]
    default: live
  endpoint:
    description: Id or URL of the application's webhook endpoint at Stripe.
    type: str
    default: ""
"""
