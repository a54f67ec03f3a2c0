#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Queue dead letters again, and take back those that still wait."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: dead_letter_replay
short_description: Queue dead letters again
version_added: 0.1.0
description:
  - Puts messages that failed for good back into the queue, those that O(kinds), O(error) and O(ids) choose together, oldest first.
  - Each is marked and queued in one statement, by its idempotency key. A message whose key is in the queue already is not queued twice,
    so a second replay does nothing.
  - Leaves alone, and names, what is past its use, older than O(max_age_hours), without a key, or not JSON.
  - Works at O(rate), and stops as soon as more than O(max_failures) of what it queued have failed again.
  - Queued is not delivered, so it then waits until a worker has done all of them. What failed again, or is not done within O(settle_s),
    is an error; what no worker has begun can then still be taken back.
  - Nothing is deleted. Payloads are never shown.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.jobs
  - oncall.runbooks.attributes.changes
options:
  state:
    description:
      - V(replayed) queues.
      - V(withdrawn) takes those of O(ledger) out of the queue again that no worker has begun.
    type: str
    choices: [replayed, withdrawn]
    default: replayed
  ids:
    description: Only these letters.
    type: list
    elements: str
    default: []
  kinds:
    description: Only letters of these kinds.
    type: list
    elements: str
    default: []
  error:
    description: Only letters whose error this regular expression finds something in.
    type: str
    default: ""
  max_age_hours:
    description: Leave alone what failed longer ago. 0 means no limit.
    type: float
    default: 24
  limit:
    description: Queue so many at most.
    type: int
    default: 100
  batch:
    description: Letters in one transaction.
    type: int
    default: 10
  rate:
    description: Letters in one second.
    type: float
    default: 10
  max_failures:
    description: Stop when more than so many of the letters that were queued have failed again.
    type: int
    default: 0
  settle_s:
    description: Wait so many seconds at most until what was queued is done. 0 means that nobody waits for it.
    type: float
    default: 60
  ledger:
    description: With O(state=withdrawn), what the replay returned as C(undo.args.ledger).
    type: list
    elements: dict
    default: []
seealso:
  - module: oncall.runbooks.job_health
"""

EXAMPLES = r"""
- name: Send the receipts again that the provider's outage cost, five in a second
  oncall.runbooks.dead_letter_replay:
    database: cleaning
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
    queue:
      table: ops.jobs
    dead_letters:
      table: ops.dead_letters
    kinds: [receipt]
    error: timed out
    rate: 5
"""

RETURN = r"""
replayed:
  description: The letters that are, or in check mode would be, queued.
  returned: with O(state=replayed)
  type: list
  elements: dict
  sample: [{id: "17", kind: receipt, error: timed out, age_s: 3600.0}]
left_alone:
  description: What was chosen and is not queued (or was queued and cannot be taken back), and why.
  returned: always
  type: list
  elements: dict
prediction:
  description: How many, and how long it takes.
  returned: always
  type: dict
undo:
  description: How what still waits is taken out of the queue again.
  returned: when changed
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs import tables
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.replay import replay, replay_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def main() -> None:
    """Validate the options, do it, exit."""
    spec: Dict[str, Any] = dict(postgres.argument_spec(), **tables.argument_spec())
    run_module(dict(spec, **replay_spec()), replay)


if __name__ == "__main__":
    main()
