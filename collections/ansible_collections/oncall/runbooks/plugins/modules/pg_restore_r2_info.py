#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what became of a restore whose end nobody saw."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: pg_restore_r2_info
short_description: Say what a run's restore did to a PostgreSQL database
version_added: 0.1.0
description:
  - A restore by M(oncall.runbooks.pg_restore_r2) leaves marks on the databases it makes and moves, in the same
    transaction as the switch. So the server knows what a run did, also when its controller was killed before
    it could hear of it.
  - Waits until nothing of that restore works any more, then says whether it is in service, was taken back, or
    never got there, and how it is taken back.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.reads
options:
  database:
    description: The live database, by the name its clients use.
    type: str
    required: true
  run:
    description: The run whose restore is meant.
    type: str
    required: true
  switch:
    description: Whether that restore was to be put in service. One that was not is done as soon as it is whole beside the live database.
    type: bool
    default: true
  wait:
    description: Seconds to wait for the end of that restore, when it still works.
    type: float
    default: 45
seealso:
  - module: oncall.runbooks.pg_restore_r2
"""

EXAMPLES = r"""
- name: See what a killed run did
  oncall.runbooks.pg_restore_r2_info:
    database: roost_prod
    run: 20261121t064300z-7f3a9c
  register: restore
"""

RETURN = r"""
outcome:
  description:
    - RV(ignore:state) is V(done) (what it restored is in service), V(undone), V(not_done), or V(left_beside) - nothing of it is
      in service, and what it made, whole or not, is still there.
    - RV(ignore:summary) says it in a sentence, RV(ignore:undo) how it is taken back (null when nothing was kept).
  returned: success
  type: dict
databases:
  description: The databases that carry this run's mark (name, size, mark).
  returned: success
  type: list
  elements: dict
beside:
  description: Databases that stand whole beside the live one, restored and verified by whatever run.
  returned: success
  type: list
  elements: str
sessions:
  description: Sessions of this run in the server; always 0 on success.
  returned: success
  type: int
error:
  description: What was tried, on what, what came back and what to do next.
  returned: on failure
  type: dict
"""

import time
from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import outcome
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions


def argument_spec() -> Dict[str, Any]:
    """Return the options that DOCUMENTATION describes."""
    return {
        **pg.argument_spec(),
        "database": {"type": "str", "required": True},
        "run": {"type": "str", "required": True},
        "switch": {"type": "bool", "default": True},
        "wait": {"type": "float", "default": 45},
    }


def run(options: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Look and return the module's result; the same in check mode."""
    pg.require_psycopg2()
    asked = RestoreOptions.from_params(options, check_mode)
    # What is looked for is what works under the run's name: the look itself must not.
    return {"changed": False, **outcome.look(asked, options["wait"], time.monotonic, time.sleep)}


def main() -> None:
    """Run as an Ansible module."""
    run_module(argument_spec(), run)


if __name__ == "__main__":
    main()
