#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Heartbeats, queue, dead letters and lock of an application's background jobs."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: job_health
short_description: Measure background jobs
version_added: 0.1.0
description:
  - Looks at the tables in which an application keeps its jobs, in one session that the server keeps from writing.
  - Says of each job how long ago it ran to its end, how long the oldest message waits, which errors fill the dead letters, and
    whether the owner of the scheduler's lock is alive.
  - A table that is missing or cannot be read becomes a finding of status C(unknown) and hides nothing else.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.jobs
  - oncall.runbooks.attributes.reads
options:
  stale_factor:
    description: A job is stale when its last heartbeat is older than so many of its intervals.
    type: float
    default: 2
  max_wait_s:
    description: Seconds the oldest message may wait.
    type: float
    default: 600
  max_dead:
    description: With more dead letters than this the finding fails; with fewer, but any, it warns.
    type: int
    default: 10
  dead_after_s:
    description: Seconds after which an owner of the lock that has no session with the database counts as dead.
    type: float
    default: 120
  checks:
    description: Only these checks. Empty means all.
    type: list
    elements: str
    default: []
  subject:
    description: First word of the checks of heartbeats and locks, so that those of one job can be told from the others'.
    type: str
    default: job
  names:
    description: Only heartbeats and locks of these names. Empty means all.
    type: list
    elements: str
    default: []
  except_names:
    description: Not the heartbeats and locks of these names, such as those that another runbook looks at.
    type: list
    elements: str
    default: []
  max_age_s:
    description: Seconds after which a heartbeat is stale, whatever its interval is; V(0) means O(stale_factor) of its interval.
    type: float
    default: 0
  channels:
    description: Channels of messages that are measured by themselves, by the kinds of their jobs.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What findings call it, such as V(email).
        type: str
        required: true
      kinds:
        description: The kinds of job that send by it.
        type: list
        elements: str
        required: true
  window_s:
    description: Seconds back to which the failures of a channel are counted.
    type: float
    default: 900
  max_failure_ratio:
    description: The share of a channel's messages that may fail.
    type: float
    default: 0.05
seealso:
  - module: oncall.runbooks.dead_letter_replay
  - module: oncall.runbooks.job_lock_release
"""

EXAMPLES = r"""
- name: Look at the jobs
  oncall.runbooks.job_health:
    database: cleaning
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
    heartbeats:
      table: ops.job_heartbeats
    queue:
      table: ops.jobs
    dead_letters:
      table: ops.dead_letters
    lock:
      table: ops.locks
"""

RETURN = r"""
findings:
  description: The checks C(job_heartbeat) (one for each job), C(job_queue), C(job_dead_letters), C(job_lock) (one for each lock that is held; with
    another O(subject) C(job) is that word), and of each channel C(notification_failures) and C(notification_queue).
  returned: always
  type: list
  elements: dict
  sample:
    - check: job_heartbeat
      host: ""
      status: fail
      summary: reminders reported 42 min ago; it runs every 300 s.
      observed: {job: reminders, age_s: 2520.0, interval_s: 300.0}
      expected: at most 10 min
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import tables
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.look import health_spec, look
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def main() -> None:
    """Validate the options, look, exit."""
    spec: Dict[str, Any] = dict(postgres.argument_spec(), **tables.argument_spec())
    run_module(dict(spec, **health_spec()), look)


if __name__ == "__main__":
    main()
