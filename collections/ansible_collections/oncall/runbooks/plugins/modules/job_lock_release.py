#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Release the lock of a scheduler that is proven dead."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: job_lock_release
short_description: Release the lock of a dead scheduler
version_added: 0.1.0
description:
  - Frees the lock that a scheduler left behind, so that another may take it.
  - Only when its owner is proven dead, by two things at once. It has no session with the database, and it has been silent for longer
    than O(dead_after_s). Two schedulers at once would run every job twice.
  - The row is changed only as it was seen. An owner that comes back meanwhile keeps its lock.
  - There is no undo, because giving a lock back to the dead would stop the jobs again.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.jobs
  - oncall.runbooks.attributes.changes
attributes:
  idempotent:
    details: A lock that nobody holds is left as it is.
options:
  name:
    description: Name of the lock.
    type: str
    required: true
  owner:
    description: Only when this one holds it. A lock that another has taken meanwhile is left as it is. Empty means whoever holds it.
    type: str
    default: ""
  wait_s:
    description:
      - Seconds to wait until the death of the owner is proven, for an owner that was stopped a moment ago.
      - With it, check mode predicts the release although the owner still lives, because it has not been stopped yet.
    type: float
    default: 0
  dead_after_s:
    description: Seconds of silence after which an owner without a session counts as dead.
    type: float
    default: 120
seealso:
  - module: oncall.runbooks.job_health
"""

EXAMPLES = r"""
- name: Let another scheduler begin
  oncall.runbooks.job_lock_release:
    database: cleaning
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
    lock:
      table: ops.locks
    name: scheduler
"""

RETURN = r"""
owner:
  description: Who held it; empty when nobody did.
  returned: always
  type: str
prediction:
  description: What happens.
  returned: always
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import lock, tables
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def main() -> None:
    """Validate the options, release, exit."""
    spec: Dict[str, Any] = dict(postgres.argument_spec(), **tables.argument_spec())
    spec["name"] = {"type": "str", "required": True}
    spec["owner"] = {"type": "str", "default": ""}
    spec["wait_s"] = {"type": "float", "default": 0}
    spec["dead_after_s"] = {"type": "float", "default": 120}
    run_module(spec, lock.release)


if __name__ == "__main__":
    main()
