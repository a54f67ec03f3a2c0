#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: break_glass_write
short_description: Make an emergency write while administrators may only read
version_added: 0.1.0
description:
  - Asks for a break-glass token, makes the write for each of O(objects), revokes the token, and sees that it is refused. The token lives
    in the memory of this one task on the controller; it is in no result, log, file, argument of a process, or variable.
  - Only what O(calls) lists can be written. What is so already is not written again.
  - Whatever fails, the token is revoked. What a run that was killed left behind is revoked by the next one.
  - The application is told reason, incident, approver, who asked and the run; the result tells which token it was, and until when.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.access
  - oncall.runbooks.access.calls
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: It logs in and looks, and asks for no token.
options:
  state:
    description:
      - V(written) makes the writes.
      - V(undone) takes those of O(ledger) back, with a token of its own.
      - V(revoked) makes tokens void that are good, whoever asked for them.
    type: str
    choices: [written, undone, revoked]
    default: written
  limit:
    description: Refuse more objects than this.
    type: int
    default: 10
  ledger:
    description: With O(state=undone), what the write returned as C(undo.args.ledger).
    type: list
    elements: dict
    default: []
  tokens:
    description: With O(state=revoked), ids of tokens. Empty means all that are good.
    type: list
    elements: str
    default: []
  reason:
    description: Why it cannot wait. Required but for O(state=revoked).
    type: str
    default: ""
  incident:
    description: The incident that it is for. Required but for O(state=revoked).
    type: str
    default: ""
  approver:
    description: Who has allowed it. Required but for O(state=revoked).
    type: str
    default: ""
  ttl_minutes:
    description: Minutes that the token may be good, should nobody revoke it.
    type: int
    default: 15
  max_ttl_minutes:
    description: More minutes than this are refused.
    type: int
    default: 60
seealso:
  - module: oncall.runbooks.break_glass_health
"""

EXAMPLES = r"""
- name: Cancel two bookings while administrators may only read
  oncall.runbooks.break_glass_write:
    url: https://api.example.org
    user: "{{ admin_user }}"
    password: "{{ admin_password }}"
    paths:
      start: /v1/admin/break-glass/start
      revoke: /v1/admin/break-glass/revoke
    calls:
      - name: cancel-booking
        path: /v1/admin/bookings/{id}/cancel
        look: /v1/admin/bookings/{id}
        wanted: {status: cancelled}
        undo: {path: "/v1/admin/bookings/{id}/reopen"}
    call: cancel-booking
    objects: ["4711", "4712"]
    reason: the cleaner cannot come
    incident: INC-7
    approver: the backend lead
"""

RETURN = r"""
written:
  description: The objects that are, or in check mode would be, written.
  returned: with O(state=written) or O(state=undone)
  type: list
  elements: str
access:
  description: Which token it was, the reason that the application was told, until when it would have been good, whether it was
    revoked, and whether it was seen to be refused then. Never the token.
  returned: with O(state=written) or O(state=undone)
  type: dict
  sample:
    id: "7"
    reason: the cleaner cannot come; incident INC-7, approved by the backend lead, asked for by ops@host [oncall 20261121t064300z-7f3a9c]
    until: "2026-11-21T06:58:00Z"
    revoked: true
    refused: true
revoked:
  description: The tokens that are void now; who had asked for them, why, and until when they were good.
  returned: with O(state=revoked)
  type: list
  elements: dict
evidence:
  description: The same as RV(access), and the call, for the record.
  returned: when a token was asked for
  type: list
  elements: dict
prediction:
  description: How many objects or tokens.
  returned: always
  type: dict
undo:
  description: How the writes are taken back.
  returned: when something was written
  type: dict
"""
