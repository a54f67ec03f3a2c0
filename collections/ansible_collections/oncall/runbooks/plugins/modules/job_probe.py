#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove by a test message that background jobs work."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: job_probe
short_description: Prove by a test message that jobs work
version_added: 0.1.0
description:
  - Queues one message, as the application queues its own, and waits until a worker has done it. That no message fails proves
    nothing while none is sent.
  - Use a kind and a payload that reach a test recipient. A test message stays in the queue's table as done, as every message does.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.jobs
  - oncall.runbooks.attributes.reads
attributes:
  check_mode:
    details: Queues nothing.
  idempotent:
    details: Each time one more test message is done; nothing else is touched.
options:
  kind:
    description: Kind of job.
    type: str
    required: true
  payload:
    description: The message, as JSON.
    type: str
    default: "{}"
  within_s:
    description: Seconds within which it has to be done.
    type: float
    default: 30
seealso:
  - module: oncall.runbooks.job_health
"""

EXAMPLES = r"""
- name: See that e-mail is sent again
  oncall.runbooks.job_probe:
    database: cleaning
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
    queue:
      table: ops.jobs
    dead_letters:
      table: ops.dead_letters
    kind: reminder
    payload: '{"to": "test@example.org"}'
"""

RETURN = r"""
seconds:
  description: How long it took; null in check mode.
  returned: always
  type: float
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import tables
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.probe import probe, probe_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def main() -> None:
    """Validate the options, probe, exit."""
    spec: Dict[str, Any] = dict(postgres.argument_spec(), **tables.argument_spec())
    run_module(dict(spec, **probe_spec()), probe)


if __name__ == "__main__":
    main()
