#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say that a job has run."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: job_beat
short_description: Write the heartbeat of a job whose work was done by hand
version_added: 0.1.0
description:
  - Sets the time at which a job last ran, once its work was done and proved by something else.
  - The row is changed only as it was seen. A job that reports meanwhile keeps its own time.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.jobs
  - oncall.runbooks.attributes.changes
attributes:
  idempotent:
    support: none
    details: Each time it is another time. With O(expected) it writes once.
options:
  job:
    description: Name of the job.
    type: str
    required: true
  beat_at:
    description: The time to write, as RV(undo) tells the one before. Empty means now.
    type: str
    default: ""
  expected:
    description: Only where this is the time that is there, as RV(undo) tells it. Another one is left as it is.
    type: str
    default: ""
seealso:
  - module: oncall.runbooks.job_health
"""

EXAMPLES = r"""
- name: The backup was made by hand
  oncall.runbooks.job_beat:
    database: cleaning
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
    heartbeats:
      table: ops.job_heartbeats
    job: backup
"""

RETURN = r"""
prediction:
  description: What happens.
  returned: always
  type: dict
undo:
  description: How exactly it is taken back.
  returned: when changed
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import tables
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.beat import beat
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def main() -> None:
    """Validate the options, write, exit."""
    spec: Dict[str, Any] = dict(postgres.argument_spec(), **tables.argument_spec())
    spec["job"] = {"type": "str", "required": True}
    spec["beat_at"] = {"type": "str", "default": ""}
    spec["expected"] = {"type": "str", "default": ""}
    run_module(spec, beat, proves_unchanged=True)


if __name__ == "__main__":
    main()
