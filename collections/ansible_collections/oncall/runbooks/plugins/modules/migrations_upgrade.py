#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply pending migrations once, under a lock."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: migrations_upgrade
short_description: Apply the migrations that a database lacks, once, under a lock
version_added: 0.1.0
description:
  - Applies by the project's own tool (O(command)) what the checked out code has and the database has not, and proves
    afterwards that nothing is pending.
  - Refuses a database that is ahead of the code or has diverged from it, code that is not what runs, and migrations
    that can lose data (unless O(allow_destructive)).
  - One runner at a time holds an advisory lock. A second one waits, and finds nothing left to do.
  - The tool's sessions get a C(lock_timeout) by E(PGOPTIONS), which libpq reads. A migration that waits for a lock would
    make everybody else wait behind it. Whether a tool without libpq honours that is for its owner to see.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.deploy
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.changes
options:
  command:
    description: The project's tool with its arguments, run in O(path) as the owner of the checkout.
    type: list
    elements: str
    required: true
  command_timeout:
    description: Seconds that it may take. Then it is ended with all its processes.
    type: float
    default: 900
  lock_timeout:
    description: Seconds that a migration may wait for a lock on a table.
    type: float
    default: 5
  lock_wait:
    description: Seconds to wait for another runner.
    type: float
    default: 60
  allow_destructive:
    description: Also apply migrations with words that can lose data.
    type: bool
    default: false
  run:
    description: Names the sessions and the private folder. Default is the time.
    type: str
    default: ""
seealso:
  - module: oncall.runbooks.deploy_health
"""

EXAMPLES = r"""
- name: Apply what is pending
  oncall.runbooks.migrations_upgrade:
    path: /opt/cleaning
    command: [docker, compose, run, --rm, -e, PGOPTIONS, api, ./migrate, up]
    migrations: {path: migrations}
    database: cleaning_prod
    login_host: 127.0.0.1
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
"""

RETURN = r"""
pending:
  description: The migrations that are applied, in order.
  returned: success
  type: list
  elements: str
destructive:
  description: Those of them that can lose data.
  returned: success
  type: list
  elements: str
prediction:
  description: What happens, and which sessions would be in the way.
  returned: success
  type: dict
evidence:
  description: What the tool said.
  returned: success
  type: list
  elements: dict
undo:
  description: Why it cannot be taken back.
  returned: when changed
  type: dict
error:
  description: What was tried, on what, what came back and what to do next.
  returned: on failure
  type: dict
"""

import time
from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.options import DEPLOY_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.upgrade import upgrade
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Apply them (or predict that) and return the module's result."""
    given = dict(params, run=params["run"] or time.strftime("%Y%m%dt%H%M%Sz", time.gmtime()))
    return upgrade(given, check_mode=check_mode)


def main() -> None:
    """Validate the options, apply, exit."""
    spec = dict(
        DEPLOY_SPEC,
        command={"type": "list", "elements": "str", "required": True},
        command_timeout={"type": "float", "default": 900.0},
        lock_timeout={"type": "float", "default": 5.0},
        lock_wait={"type": "float", "default": 60.0},
        allow_destructive={"type": "bool", "default": False},
        run={"type": "str", "default": ""},
    )
    run_module(spec, run, proves_unchanged=True)


if __name__ == "__main__":
    main()
