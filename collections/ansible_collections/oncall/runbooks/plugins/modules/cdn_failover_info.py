#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: cdn_failover_info
short_description: Say what became of a switch to another origin
version_added: 0.1.0
description:
  - A switch by M(oncall.runbooks.cdn_failover) keeps in the folder of its run how it is taken back, before it changes
    anything. Held against what directs the traffic now, that says what the run did, also when it was killed before
    it could hear of it.
  - Runs on the controller; the credentials never leave it.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.edge
  - oncall.runbooks.attributes.reads
options:
  run:
    description: The run whose switch is meant.
    type: str
    required: true
seealso:
  - module: oncall.runbooks.cdn_failover
"""

EXAMPLES = r"""
- name: See what a killed run did
  oncall.runbooks.cdn_failover_info:
    run: 20261121t064300z-7f3a9c
    provider: admin_api
    primary: cloudflare
    admin_api:
      url: https://video.example.com
      token: "{{ admin_token }}"
  register: traffic
"""

RETURN = r"""
outcome:
  description:
    - RV(ignore:state) is V(done), V(not_done) or V(half) (traffic is neither where it was nor where the run wanted it).
    - RV(ignore:summary) says it in a sentence, RV(ignore:undo) how it is taken back.
  returned: success
  type: dict
error:
  description: What was tried, on what, what came back and what to do next.
  returned: on failure
  type: dict
"""
