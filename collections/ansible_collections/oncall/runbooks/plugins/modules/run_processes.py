#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find or end what the steps of a run left running on a host."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: run_processes
short_description: Find or end the processes that a run left on a host
version_added: 0.1.0
description:
  - A step that was cut off (its controller was killed, or its time was over) may go on on its host.
  - Every process of a step carries E(ONCALL_STEP) in its environment; this module finds the processes by it,
    asks them to end, and kills those that do not.
  - Sessions of a database that such a process holds are ended by it, or by the server when it is gone.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
attributes:
  check_mode:
    support: full
    description: Can run in check mode and return what it would do.
    details: Only looks, and ends nothing.
  diff_mode:
    support: none
    description: Returns what has changed.
    details: The processes are listed in the result.
  idempotent:
    support: full
    description: A second run changes nothing.
    details: Nothing left is success.
options:
  run:
    description: The run whose processes are meant.
    type: str
    required: true
  host:
    description: Only those that were started for this host of the inventory. Empty means for any.
    type: str
    default: ""
  state:
    description: V(absent) ends them, V(listed) only looks.
    type: str
    choices: [absent, listed]
    default: absent
  grace:
    description: Seconds that a process has to end by itself, and to clean up, before it is killed.
    type: float
    default: 25
seealso:
  - module: oncall.runbooks.postgres_sessions
"""

EXAMPLES = r"""
- name: See what a killed run left here
  oncall.runbooks.run_processes:
    run: 20261121t064300z-7f3a9c
    state: listed

- name: End it
  oncall.runbooks.run_processes:
    run: 20261121t064300z-7f3a9c
"""

RETURN = r"""
ended:
  description: Processes that ended; in check mode those that would be ended.
  returned: success
  type: list
  elements: str
  sample: ["python3 (process 4711)"]
killed:
  description: Those of them that had to be killed.
  returned: success
  type: list
  elements: str
left:
  description: Processes that are still there.
  returned: success
  type: list
  elements: str
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import marked_processes
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def argument_spec() -> Dict[str, Any]:
    """Return the options that DOCUMENTATION describes."""
    return {
        "run": {"type": "str", "required": True},
        "host": {"type": "str", "default": ""},
        "state": {"type": "str", "choices": ["absent", "listed"], "default": "absent"},
        "grace": {"type": "float", "default": 25},
    }


def run(options: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Return the module's result; OncallError when a process cannot be ended."""
    if options["state"] == "listed" or check_mode:
        found = [
            "%s (process %d)" % (p.name, p.pid)
            for p in marked_processes.find(options["run"], options["host"])
        ]
        ends = options["state"] == "absent"
        return {
            "changed": ends and bool(found),
            "ended": found if ends else [],
            "killed": [],
            "left": [] if ends else found,
        }
    done = marked_processes.end(options["run"], options["host"], options["grace"])
    if done["left"]:
        raise OncallError(
            "end the processes of run %s" % options["run"],
            on=", ".join(done["left"]),
            got="they are still there",
            next_step="look at them by hand; as root if they are another user's (become)",
            kind="left_running",
        )
    return {"changed": bool(done["ended"]), **done}


def main() -> None:
    """Run as an Ansible module."""
    run_module(argument_spec(), run)


if __name__ == "__main__":
    main()
