#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pause a process that is no service's, or let it go on."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: process_pause
short_description: Pause a process that is no service's, or let it go on
version_added: 0.1.0
description:
  - Stops a process, with all that it has started, without ending it. It keeps its memory, files and locks, and goes on
    where it was when it is told to.
  - Refuses a process whose number another program has got, the kernel's own, what the host or this run needs, and
    whatever belongs to one of O(services). Those have mitigations of their own.
  - How the processes were called is returned as evidence, without what looks like a secret.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.attributes.changes
options:
  state:
    description: Pause it, or let what an earlier call has paused go on.
    type: str
    choices: [paused, resumed]
    default: paused
  pid:
    description: Number of the process, V(paused) only.
    type: int
  program:
    description: Its name, as the finding C(process_usage) of M(oncall.runbooks.service_health) has it, V(paused) only.
    type: str
  services:
    description: Services whose processes are never paused, each with C(name) and C(runtime).
    type: list
    elements: dict
    default: []
  processes:
    description: Number and start of each process that goes on, as the undo of a pause has them, V(resumed) only.
    type: list
    elements: list
    default: []
  timeout:
    description: Seconds that a question to the platform of a service may take.
    type: float
    default: 5
seealso:
  - module: oncall.runbooks.service_health
"""

EXAMPLES = r"""
- name: Pause the nightly export, which takes all processors
  oncall.runbooks.process_pause:
    pid: 4711
    program: nightly-export
    services: "{{ service_list }}"

- name: Let it go on
  oncall.runbooks.process_pause:
    state: resumed
    processes: [[4711, 90210]]
"""

RETURN = r"""
processes:
  description: The process and what it has started.
  returned: when O(state=paused)
  type: list
  elements: dict
  sample: [{pid: 4711, program: nightly-export}]
prediction:
  description: What changes.
  returned: always
  type: dict
evidence:
  description: How the processes were called.
  returned: when O(state=paused)
  type: list
  elements: dict
undo:
  description: How they go on.
  returned: when they were paused
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.pause import pause, resume


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Pause it, or let it go on, and return the module's result."""
    if params["state"] == "resumed":
        return resume(params, check_mode=check_mode)
    timeout = params["timeout"]
    services = [
        (str(one["name"]), choose_provider(one["runtime"], timeout=timeout)) for one in params["services"]
    ]
    return pause(params, services, check_mode=check_mode)


def main() -> None:
    """Validate the options, act, exit."""
    spec = {
        "state": {"type": "str", "choices": ["paused", "resumed"], "default": "paused"},
        "pid": {"type": "int"},
        "program": {"type": "str"},
        "services": {"type": "list", "elements": "dict", "default": []},
        "processes": {"type": "list", "elements": "list", "default": []},
        "timeout": {"type": "float", "default": 5.0},
    }
    run_module(spec, run, required_if=[("state", "paused", ("pid", "program"))], proves_unchanged=True)


if __name__ == "__main__":
    main()
