#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deploy a commit of a checkout by its project's own script, and take that back."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: git_deploy
short_description: Deploy a commit by the project's own script, lose nothing, prove it
version_added: 0.1.0
description:
  - Refuses a commit whose code is older than the schema of the database allows, and names the migrations in between.
  - Keeps what is in no commit first, on a branch C(oncall/kept-RUN) and as a patch, and proves that all of it is kept.
    Files that git was told to look away from are kept, too. Ignored files are never overwritten.
  - Checks the commit out detached, so that no branch moves, and runs O(script) with the commit in O(sha_variable).
  - Fails when the script makes the checkout another commit, because a script that pulls deploys the bad commit again.
  - Waits until the commit runs and every address of O(ready) answers. Otherwise what was there before is deployed again.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.deploy
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.changes
attributes:
  idempotent:
    details: A commit that is checked out and runs is not deployed again.
options:
  state:
    description:
      - V(deployed) deploys O(sha).
      - V(undone) deploys what was there before the deployment in O(receipt), with what was uncommitted then.
    type: str
    default: deployed
    choices: [deployed, undone]
  sha:
    description:
      - Id of the commit, or an abbreviation that only one commit has, or a tag.
      - Empty means the newest earlier deployment that the schema allows, those that were seen to serve first.
    type: str
    default: ""
  receipt:
    description: What the deployment returned as C(undo.args), for O(state=undone).
    type: dict
    default: {}
  uncommitted:
    description: What is done with uncommitted files.
    type: str
    default: set_aside
    choices: [set_aside, refuse]
  sha_variable:
    description: Environment variable in which the script finds the commit that it has to deploy.
    type: str
    default: DEPLOY_SHA
  script_timeout:
    description: Seconds that the script may take. Then it is ended with all its processes.
    type: float
    default: 900
  ready:
    description: Addresses that have to answer afterwards, as the target sees them.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: URL that is asked. Redirects are not followed.
        type: str
        required: true
      status:
        description: Statuses that are right.
        type: list
        elements: int
        default: [200]
      json:
        description: What has to be part of the body.
        type: dict
      contains:
        description: Text that has to be in the body.
        type: str
        default: ""
      timeout:
        description: Seconds for the whole answer.
        type: float
        default: 3
  ready_timeout:
    description: Seconds after which the commit has to run and serve.
    type: float
    default: 60
  run:
    description: Names the branch and the private folder. Default is the time.
    type: str
    default: ""
notes:
  - Git and the script run as the owner of the checkout when the module runs as root.
seealso:
  - module: oncall.runbooks.deploy_health
"""

EXAMPLES = r"""
- name: Go back to the newest earlier deployment that was seen to serve
  oncall.runbooks.git_deploy:
    path: /opt/cleaning
    running: {kind: url, url: "http://127.0.0.1:8000/readyz"}
    ready:
      - {url: "http://127.0.0.1:8000/readyz", json: {db_connected: true, migrations_current: true}}
    migrations: {path: migrations}
    database: cleaning_prod
    login_host: 127.0.0.1
    login_user: cleaning
    login_password: "{{ postgres_login_password }}"
  register: rollback

- name: Deploy again what was there
  oncall.runbooks.git_deploy:
    state: undone
    path: /opt/cleaning
    receipt: "{{ rollback.undo.args }}"
"""

RETURN = r"""
sha:
  description: The commit that is deployed.
  returned: success
  type: str
why:
  description: Why this one.
  returned: success
  type: str
before:
  description: The checkout before; C(changed), C(untracked) and C(hidden) are what was in no commit.
  returned: success
  type: dict
prediction:
  description: What it takes out and brings in, what is kept, what the schema says of it.
  returned: success
  type: dict
evidence:
  description: The patch of what was uncommitted, and what the script said.
  returned: success
  type: list
  elements: dict
undo:
  description: How it is taken back.
  returned: when the checkout is another one now, or uncommitted files were set aside
  type: dict
duration_s:
  description: Seconds it took until it served.
  returned: when changed, not in check mode
  type: float
error:
  description: What was tried, on what, what came back and what to do next.
  returned: on failure
  type: dict
"""

import time
from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.deploy import deploy, undo
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.options import DEPLOY_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import HEALTH_SPEC


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Deploy or take back, and return the module's result."""
    given = dict(params, run=params["run"] or time.strftime("%Y%m%dt%H%M%Sz", time.gmtime()))
    act = undo if params["state"] == "undone" else deploy
    return act(given, check_mode=check_mode)


def main() -> None:
    """Validate the options, act, exit."""
    spec = dict(
        DEPLOY_SPEC,
        state={"type": "str", "default": "deployed", "choices": ["deployed", "undone"]},
        sha={"type": "str", "default": ""},
        receipt={"type": "dict", "default": {}},
        uncommitted={"type": "str", "default": "set_aside", "choices": ["set_aside", "refuse"]},
        sha_variable={"type": "str", "default": "DEPLOY_SHA"},
        script_timeout={"type": "float", "default": 900.0},
        ready={"type": "list", "elements": "dict", "default": [], "options": HEALTH_SPEC},
        ready_timeout={"type": "float", "default": 60.0},
        run={"type": "str", "default": ""},
    )
    run_module(spec, run, proves_unchanged=True)


if __name__ == "__main__":
    main()
