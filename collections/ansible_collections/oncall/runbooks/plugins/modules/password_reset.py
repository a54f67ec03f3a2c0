#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have an application ask its subscribers for a new password."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: password_reset
short_description: Have an application ask its subscribers for a new password
version_added: 0.1.0
description:
  - Sets the flag that makes the application ask for a new password, in short transactions.
  - Touches only rows whose flag is not set, and keeps which in C(oncall.password_reset), so that an undo takes back exactly these.
  - Sends no mail. What the application sends when somebody logs in is its own.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Counts the rows, writes nothing.
options:
  database:
    description: Database of the application.
    type: str
    required: true
  state:
    description: Whether a new password is required, or what O(run) required is taken back.
    type: str
    choices: [required, restored]
    default: required
  table:
    description: Table of the subscribers, as C(schema.table).
    type: str
    required: true
  key:
    description: Column of their id.
    type: str
    default: id
  flag:
    description: Boolean column that the application checks.
    type: str
    default: force_password_reset
  only:
    description: Ids of those it is required of. Empty means all.
    type: list
    elements: str
    default: []
  exclude:
    description: Ids of those it is not required of, such as accounts of services.
    type: list
    elements: str
    default: []
  run:
    description: Id of the run that does it, under which it is kept.
    type: str
    required: true
  batch:
    description: Rows in one transaction.
    type: int
    default: 500
  max_wait_ms:
    description: Milliseconds that another client may have to wait for one of the transactions.
    type: float
    default: 50
  timeout:
    description: Seconds each count may take.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Require a new password of those whose data was touched
  oncall.runbooks.password_reset:
    database: roost_prod
    login_user: roost
    login_password: "{{ postgres_login_password }}"
    table: public.subscribers
    only: ["17", "4711"]
    run: 20261121t030000z-7f3a9c
"""

RETURN = r"""
rows:
  description: Rows that were changed, or in check mode would be.
  returned: always
  type: int
prediction:
  description: What happens.
  returned: always
  type: dict
undo:
  description: How it is taken back.
  returned: always
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.breach.password_reset import (
    argument_spec,
    work_password_reset,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def main() -> None:
    """Validate the options, do it, exit."""
    spec: Dict[str, Any] = dict(postgres.argument_spec(), **argument_spec())
    run_module(spec, work_password_reset)


if __name__ == "__main__":
    main()
