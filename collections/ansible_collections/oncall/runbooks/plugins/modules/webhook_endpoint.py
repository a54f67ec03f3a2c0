#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: webhook_endpoint
short_description: Enable or disable a webhook endpoint at Stripe
version_added: 0.1.0
description:
  - Stripe disables an endpoint whose handler fails for days, and delivers nothing to it from then on.
  - Sets the status, reads it back, and returns how that is taken back. Runs on the controller; the key never leaves it.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.stripe
  - oncall.runbooks.attributes.changes
options:
  state:
    description: What the endpoint shall be.
    type: str
    choices: [enabled, disabled]
    default: enabled
seealso:
  - module: oncall.runbooks.webhook_resend
"""

EXAMPLES = r"""
- name: Let Stripe deliver again
  oncall.runbooks.webhook_endpoint:
    api_key: "{{ stripe_api_key }}"
    endpoint: https://api.example.org/webhooks/stripe
    state: enabled
"""

RETURN = r"""
endpoint:
  description: Id, URL and status of the endpoint.
  returned: always
  type: dict
  sample: {id: we_1, url: "https://api.example.org/webhooks/stripe", status: enabled}
prediction:
  description: What changes.
  returned: always
  type: dict
undo:
  description: How to set it back.
  returned: when changed
  type: dict
"""
