#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure a deployment: its checkout, what runs, its migrations."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: deploy_health
short_description: Measure a deployment, what runs of it, and its migrations
version_added: 0.1.0
description:
  - Says whether the checkout is clean, what is in no commit, and whether somebody is in the middle of something in it.
  - Says since when its commit is checked out (the time of a commit is not that of its deployment), and what was deployed
    before.
  - Says which commit really runs, and which one a rollback would deploy. A commit whose code does not know migrations
    that were applied is passed over, and they are named.
  - Compares the migrations of what runs with those that the database has. They are read from the repository, not from
    the working tree. The database is current, behind, ahead or diverged.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.deploy
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.reads
options:
  sha:
    description: Commit that is to be judged as the target of a deployment. Empty means the one that would be proposed.
    type: str
    default: ""
  recent_hours:
    description: What began this long after a deployment may come from it.
    type: float
    default: 24
notes:
  - The checkout is read as its owner, because its configuration may name programs that git starts.
seealso:
  - module: oncall.runbooks.git_deploy
  - module: oncall.runbooks.migrations_upgrade
"""

EXAMPLES = r"""
- name: See what is deployed
  oncall.runbooks.deploy_health:
    path: /opt/cleaning
    running: {kind: url, url: "http://127.0.0.1:8000/readyz"}
    migrations: {path: migrations}
    database: cleaning_prod
    login_host: 127.0.0.1
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
  register: deployment
"""

RETURN = r"""
findings:
  description:
    - The checks C(deploy_checkout), C(deploy_script), C(deploy_recent), C(deploy_running), C(deploy_target), and with
      O(migrations) C(migrations_state) and C(migrations_partial).
  returned: always
  type: list
  elements: dict
  sample:
    - check: migrations_state
      host: ""
      status: fail
      observed: {state: behind, pending: [migrations/0004_rooms.sql], extra: [], code_is: what runs}
      expected: {state: current}
      summary: "Held against 1f0c3a9b2d4e Show rooms (what runs), the database lacks 4; they may be applied once, after a fresh backup."
status:
  description: The worst status among the findings.
  returned: always
  type: str
  sample: fail
duration_s:
  description: Seconds the measurement took.
  returned: always
  type: float
  sample: 0.2
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.health import measure
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.options import DEPLOY_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import measured


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Measure and return the module's result; nothing is ever changed."""
    return measured(lambda: measure(params))


def main() -> None:
    """Validate the options, measure, exit."""
    spec = dict(
        DEPLOY_SPEC,
        sha={"type": "str", "default": ""},
        recent_hours={"type": "float", "default": 24.0},
    )
    run_module(spec, run)


if __name__ == "__main__":
    main()
