#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of http_health; its work is done on the controller by the action plugin of the same name."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: http_health
short_description: Ask URLs from outside and say in one word what is wrong with each answer
version_added: 0.1.0
description:
  - Asks all URLs at the same time, from the controller, and judges status, JSON and text of each answer.
  - Says C(observed.reason) V(refused), V(timeout), V(status) or V(body), which are four different troubles, or V(name), V(tls)
    and V(broken).
  - Does not follow redirects, so that a login page does not pass for health and headers do not go to a stranger.
  - Can log in first, so that the whole round trip of a login is measured and the lifetime of a fresh token is told.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.urls
  - oncall.runbooks.attributes.reads
attributes:
  check_mode:
    details: It only reads. A login makes a session, as it does for every user.
seealso:
  - module: oncall.runbooks.service_health
"""

EXAMPLES = r"""
- name: See whether a subscriber can watch
  oncall.runbooks.http_health:
    outside:
      - check: canary_stream
        part: stream
        url: https://roost.example/owl/stream/canary
        headers: {Authorization: "Bearer {{ canary_token }}"}
        denied_check: canary_auth
        served_by: X-Served-By
      - check: login_round_trip
        part: auth
        url: https://roost.example/auth/verify
        login:
          url: https://roost.example/auth/login
          body: {email: "{{ canary_email }}", password: "{{ canary_password }}"}
"""

RETURN = r"""
findings:
  description: One finding for each C(check) and each C(denied_check).
  returned: always
  type: list
  elements: dict
  sample:
    - check: canary_stream
      host: roost-prod
      status: fail
      observed: {reason: status, status: 502, seconds: 0.2, excerpt: "bad gateway", part: stream, url: "https://roost.example/owl/stream/canary"}
      expected: {status: [200], json: null}
      summary: 'https://roost.example/owl/stream/canary: status 502 instead of 200. It says "bad gateway".'
status:
  description: The worst status among the findings.
  returned: always
  type: str
"""
