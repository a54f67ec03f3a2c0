#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: break_glass_health
short_description: See whether administrators may only read, and which break-glass tokens are good
version_added: 0.1.0
description:
  - Logs in as an administrator, from the controller, and asks the application for its mode and for tokens that are good.
  - What cannot be measured is a finding of status V(unknown), a login that is refused one of status V(fail); never a failure.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.access
  - oncall.runbooks.access.calls
  - oncall.runbooks.attributes.reads
options:
  checks:
    description:
      - Measure only these. C(break_glass_written) says whether each of O(objects) is as O(call) makes it.
    type: list
    elements: str
    choices: [admin_login, admin_mode, break_glass_open, break_glass_written]
    default: [admin_login, admin_mode, break_glass_open]
seealso:
  - module: oncall.runbooks.break_glass_write
"""

EXAMPLES = r"""
- name: See whether somebody switched writes off
  oncall.runbooks.break_glass_health:
    url: https://api.example.org
    user: "{{ admin_user }}"
    password: "{{ admin_password }}"
    paths:
      status: /v1/admin/break-glass
      start: /v1/admin/break-glass/start
"""

RETURN = r"""
findings:
  description: One for each of O(checks).
  returned: always
  type: list
  elements: dict
  sample:
    - check: break_glass_open
      host: cleaning-prod
      status: ok
      observed: {count: 0, tokens: []}
      expected: {count: 0}
      summary: No break-glass token is good.
"""
