#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The clocks of the duties to notify after a breach of personal data."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: breach_duties
short_description: Clocks of the duties to notify after a breach of personal data
version_added: 0.1.0
description:
  - Says until when the supervisory authority has to be told (GDPR article 33), and that the people concerned have to be told without undue delay (article 34).
  - Reads the drafts of both notices and says what they still leave open.
  - It is no legal advice, and it sends nothing.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.attributes.reads
options:
  aware_at:
    description: When somebody first knew of the breach, in ISO 8601. The clocks run from here.
    type: str
    required: true
  authority:
    description: Name of the supervisory authority.
    type: str
    default: ""
  authority_hours:
    description: Hours within which it has to be told.
    type: float
    default: 72
  subscribers:
    description: How many people are affected. Leave it out when that is not known.
    type: int
  authority_draft:
    description: File with the draft for the authority.
    type: path
    default: ""
  subscribers_draft:
    description: File with the draft for the people concerned.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: How long is left to tell the authority
  oncall.runbooks.breach_duties:
    aware_at: "2026-11-21T03:00:00Z"
    authority: Der Hamburgische Beauftragte für Datenschutz
    subscribers: 42
"""

RETURN = r"""
findings:
  description: C(duty_authority) and C(duty_subscribers).
  returned: always
  type: list
  elements: dict
status:
  description: The worst status among the findings.
  returned: always
  type: str
clocks:
  description: When somebody was aware, and when the authority has to be told at the latest.
  returned: always
  type: dict
  sample: {aware_at: "2026-11-21T03:00:00+00:00", authority_due_at: "2026-11-24T03:00:00+00:00"}
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.breach.duties import duties
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Compute and return the module's result; nothing is ever changed."""
    return duties(params)


def main() -> None:
    """Validate the options, compute, exit."""
    spec: Dict[str, Any] = {
        "aware_at": {"type": "str", "required": True},
        "authority": {"type": "str", "default": ""},
        "authority_hours": {"type": "float", "default": 72.0},
        "subscribers": {"type": "int"},
        "authority_draft": {"type": "path", "default": ""},
        "subscribers_draft": {"type": "path", "default": ""},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
