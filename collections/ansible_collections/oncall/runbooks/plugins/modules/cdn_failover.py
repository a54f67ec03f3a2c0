#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: cdn_failover
short_description: Send traffic to another origin, prove that it went there, or take it back
version_added: 0.1.0
description:
  - Reads the health of every origin first, and refuses one that is not healthy.
  - Keeps what was set, switches, reads it back, and asks from outside until the new origin has answered
    O(probe.times) times in a row.
  - Takes itself back when the provider or the outside says otherwise, and says so.
  - An answer that was lost does not decide anything, what is set afterwards does. A switch is never sent twice
    where a second request could toggle back.
  - Runs on the controller; the credentials never leave it.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.edge
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: It reads the health and predicts the switch; the proof from outside has nothing to prove yet.
  idempotent:
    details: Traffic that goes to the target already is only proved.
options:
  state:
    description: Away from the normal origin, or back to it.
    type: str
    choices: [failed_over, failed_back]
    default: failed_over
  target:
    description:
      - Name of the origin that gets the traffic.
      - Default for V(failed_over) is the only usable origin beside the present one, for V(failed_back) O(primary).
    type: str
    default: ""
  before:
    description: What an earlier switch found, from its C(undo). It is put back exactly; only for V(failed_back).
    type: dict
  force_reason:
    description: Why traffic is to go to an origin that is not known to be healthy. It is recorded.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Send viewers to the other CDN
  oncall.runbooks.cdn_failover:
    provider: admin_api
    primary: cloudflare
    admin_api:
      url: https://video.example.com
      token: "{{ admin_token }}"
    probe:
      url: https://video.example.com/owl/stream/canary
      served_by_header: X-Served-By
      headers: {Authorization: "Bearer {{ canary_token }}"}
  register: moved

- name: And back
  oncall.runbooks.cdn_failover:
    provider: admin_api
    state: failed_back
    before: "{{ moved.undo.args.before }}"
    admin_api:
      url: https://video.example.com
      token: "{{ admin_token }}"
    probe:
      url: https://video.example.com/owl/stream/canary

- name: Another pool of a Cloudflare load balancer
  oncall.runbooks.cdn_failover:
    provider: cloudflare_lb
    target: standby
    cloudflare_lb:
      token: "{{ cloudflare_token }}"
      account_id: "{{ cloudflare_account_id }}"
      zone_id: "{{ cloudflare_zone_id }}"
      load_balancer: www.example.com
    probe:
      url: https://www.example.com/health
"""

RETURN = r"""
active_before:
  description: Origin that had the traffic; empty when it was several.
  returned: always
  type: str
active:
  description: Origin that has (in check mode would have) the traffic.
  returned: always
  type: str
origins:
  description: Each origin with its health, true, false, or null when nobody can say.
  returned: always
  type: list
  elements: dict
proof:
  description: What was seen from outside, with the count of answers by origin.
  returned: when not in check mode
  type: dict
  sample: {url: "https://video.example.com/", asked: 7, good_in_row: 5, answered_by: {bunny: 5, cloudflare: 2}, origin_told: true}
prediction:
  description: What changes.
  returned: always
  type: dict
undo:
  description: How exactly this switch is taken back.
  returned: when changed
  type: dict
"""
