#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drop a replication slot that nobody uses."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: postgres_slot_drop
short_description: Drop a replication slot of PostgreSQL that nobody uses
version_added: 0.1.0
description:
  - A slot keeps all WAL since its consumer was last there. One that is gone for good fills the disk.
  - Refuses a slot that somebody reads from, also one whose consumer comes back within O(unused_for).
  - Has the server let go of the WAL at once, by checkpoints, and tells how much of it that was.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Tells of the slot, and refuses what it would refuse.
  idempotent:
    details: A slot that is not there is nothing to do.
options:
  name:
    description: The slot, by its exact name.
    type: str
    required: true
  unused_for:
    description: Seconds to watch that nobody comes back to it.
    type: float
    default: 5
seealso:
  - module: oncall.runbooks.postgres_health
"""

EXAMPLES = r"""
- name: Let go of the WAL that is kept for a replica of last year
  oncall.runbooks.postgres_slot_drop:
    name: old_replica
    login_host: 127.0.0.1
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
"""

RETURN = r"""
slot:
  description: The slot that was, or would be, dropped, with the bytes of WAL that it keeps. Empty when there is none.
  returned: always
  type: dict
  sample: {name: old_replica, type: physical, plugin: "", database: "", active: false, retained: 5368709120}
freed:
  description: Bytes of WAL that are gone.
  returned: always
  type: int
prediction:
  description: What changes.
  returned: always
  type: dict
undo:
  description: Why this cannot be taken back.
  returned: when changed
  type: dict
"""

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.slots import drop_slot


def main() -> None:
    """Validate the options, drop the slot, exit."""
    spec = dict(
        argument_spec(),
        name={"type": "str", "required": True},
        unused_for={"type": "float", "default": 5.0},
    )
    run_module(spec, drop_slot, proves_unchanged=True)


if __name__ == "__main__":
    main()
