#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: cdn_health
short_description: Measure where traffic goes and how the origins are
version_added: 0.1.0
description:
  - Asks what directs the traffic which origin has it and how healthy each is, and with O(probe) also asks from
    outside who answers.
  - A credential that is missing or expired is a finding that names what to set, never taken for an answer.
  - Runs on the controller; the credentials never leave it.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.edge
  - oncall.runbooks.attributes.reads
"""

EXAMPLES = r"""
- name: Which CDN has the traffic, and is it well
  oncall.runbooks.cdn_health:
    provider: admin_api
    primary: cloudflare
    admin_api:
      url: https://video.example.com
      token: "{{ admin_token }}"
"""

RETURN = r"""
findings:
  description: The check C(cdn_health), and C(cdn_traffic) where O(probe) is given.
  returned: always
  type: list
  elements: dict
  sample:
    - check: cdn_health
      host: video1
      status: fail
      observed: {part: edge, active: cloudflare, primary: cloudflare, reason: active_unhealthy, usable: [bunny]}
      expected: {active: cloudflare}
      summary: cloudflare has the traffic and is not healthy; bunny is.
"""
