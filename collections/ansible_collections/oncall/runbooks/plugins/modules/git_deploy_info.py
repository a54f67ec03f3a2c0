#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what became of a deployment whose end nobody saw."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: git_deploy_info
short_description: Say what a run's deployment did to a checkout
version_added: 0.1.0
description:
  - A deployment by M(oncall.runbooks.git_deploy) leaves a receipt on the host before it changes anything, and notes in it
    how far it came. So the host knows what a run did, also when its controller was killed before it could hear of it.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.attributes.reads
options:
  path:
    description: The git checkout.
    type: path
    required: true
  run:
    description: The run whose deployment is meant.
    type: str
    required: true
  private_dir:
    description: Folder on the target with the receipts.
    type: path
    default: /var/lib/oncall-runbooks
seealso:
  - module: oncall.runbooks.git_deploy
"""

EXAMPLES = r"""
- name: See what a killed run did
  oncall.runbooks.git_deploy_info:
    path: /opt/cleaning
    run: 20261121t064300z-7f3a9c
  register: deployment
"""

RETURN = r"""
outcome:
  description:
    - RV(ignore:state) is V(done), V(half) (it was begun and did not come to its end), V(undone) or V(not_done).
    - RV(ignore:summary) says it in a sentence, RV(ignore:undo) how it is taken back.
  returned: success
  type: dict
error:
  description: What was tried, on what, what came back and what to do next.
  returned: on failure
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.deploy import outcome
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Look and return the module's result; the same in check mode."""
    return {"changed": False, "outcome": outcome(params)}


def main() -> None:
    """Validate the options, look, exit."""
    spec = {
        "path": {"type": "path", "required": True},
        "run": {"type": "str", "required": True},
        "private_dir": {"type": "path", "default": "/var/lib/oncall-runbooks"},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
