#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read an application's audit log for signs and extent of a breach."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: audit_review
short_description: Read an audit log for signs and extent of a security breach
version_added: 0.1.0
description:
  - Reads the whole of the time window, not a number of newest entries, in a read-only session.
  - Finds administrators that are unknown or act from addresses never used before, and bursts of sensitive actions.
  - Given suspects, says how many subscribers and which categories of data their actions concern.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.reads
options:
  database:
    description: Database with the audit log.
    type: str
    required: true
  table:
    description: Table of the audit log, as C(schema.table).
    type: str
    default: public.audit_log
  columns:
    description: The columns of the table by what they mean.
    type: dict
    default: {}
    suboptions:
      created_at:
        description: When it was done, with time zone.
        type: str
        default: created_at
      actor_type:
        description: What kind of actor did it.
        type: str
        default: actor_type
      actor_id:
        description: Who did it.
        type: str
        default: actor_id
      action:
        description: What was done.
        type: str
        default: action
      address:
        description: Network address it came from. Empty where the table has none.
        type: str
        default: ip_address
      resource_type:
        description: Kind of thing it was done to. Empty where the table has none.
        type: str
        default: resource_type
      subject:
        description: Whose data it was. Empty where the table does not say.
        type: str
        default: ""
  subject_key:
    description: Key of the column O(columns.subject) when that is JSON.
    type: str
    default: ""
  admin_types:
    description: Values of the actor's type that mean an administrator.
    type: list
    elements: str
    default: [admin]
  known_admins:
    description: Ids of the administrators. Empty means those who acted in the O(history_days) before.
    type: list
    elements: str
    default: []
  since:
    description: Begin of the window in ISO 8601. Default is O(window_hours) before its end.
    type: str
  until:
    description: End of the window in ISO 8601. Default is now.
    type: str
  window_hours:
    description: Length of the window when O(since) is not given.
    type: float
    default: 24
  history_days:
    description: Days before the window in which an actor's usual addresses are looked up.
    type: float
    default: 30
  actors:
    description: Ids of actors that are suspects.
    type: list
    elements: str
    default: []
  addresses:
    description: Network addresses that are suspects.
    type: list
    elements: str
    default: []
  sensitive_actions:
    description: Actions of which many in an hour are suspicious.
    type: list
    elements: str
    default: []
  burst_per_hour:
    description: How many of them one actor may do in an hour.
    type: int
    default: 50
  categories:
    description: Category of personal data by resource type, for the notices.
    type: dict
    default: {}
  declared:
    description: Whether the operator declares a breach, whatever the audit log says.
    type: bool
    default: false
  timeout:
    description: Seconds each query may take.
    type: float
    default: 15
"""

EXAMPLES = r"""
- name: Read the last day, and what the suspect did in it
  oncall.runbooks.audit_review:
    database: roost_prod
    login_user: roost
    login_password: "{{ postgres_login_password }}"
    actors: ["4711"]
    sensitive_actions: [subscriber.export]
"""

RETURN = r"""
findings:
  description: C(audit_log), C(audit_admins), C(audit_bursts), C(audit_suspects), C(breach_affected), C(breach_declared).
  returned: always
  type: list
  elements: dict
status:
  description: The worst status among the findings.
  returned: always
  type: str
review:
  description: The same for notices, as window, entries, admins, suspects and affected subscribers.
  returned: always
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.breach.review import review
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec

_COLUMNS = {
    "created_at": "created_at",
    "actor_type": "actor_type",
    "actor_id": "actor_id",
    "action": "action",
    "address": "ip_address",
    "resource_type": "resource_type",
    "subject": "",
}
_TEXTS: Dict[str, Any] = {"type": "list", "elements": "str", "default": []}


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Read and return the module's result; nothing is ever changed."""
    return review(params)


def main() -> None:
    """Validate the options, read, exit."""
    columns = {name: {"type": "str", "default": default} for name, default in _COLUMNS.items()}
    spec: Dict[str, Any] = dict(
        argument_spec(),
        database={"type": "str", "required": True},
        table={"type": "str", "default": "public.audit_log"},
        columns={"type": "dict", "default": {}, "options": columns, "apply_defaults": True},
        subject_key={"type": "str", "default": "", "no_log": False},
        admin_types=dict(_TEXTS, default=["admin"]),
        known_admins=_TEXTS,
        since={"type": "str"},
        until={"type": "str"},
        window_hours={"type": "float", "default": 24.0},
        history_days={"type": "float", "default": 30.0},
        actors=_TEXTS,
        addresses=_TEXTS,
        sensitive_actions=_TEXTS,
        burst_per_hour={"type": "int", "default": 50},
        categories={"type": "dict", "default": {}},
        declared={"type": "bool", "default": False},
        timeout={"type": "float", "default": 15.0},
    )
    run_module(spec, run)


if __name__ == "__main__":
    main()
