#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a secret where it lives, without ever telling it."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: secret_health
short_description: Look at a secret in a settings file without telling it
version_added: 0.1.0
description:
  - Says whether the secret is there, how long it is, who may read the file, and where copies of it lie.
  - Never returns the secret, a part of it, or a checksum of it.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.attributes.reads
options:
  path:
    description: The settings file.
    type: path
    required: true
  key:
    description: Name of the setting.
    type: str
    required: true
  min_length:
    description: Characters that the secret has at least.
    type: int
    default: 32
  private_dir:
    description: Folder on the target for private files of runs.
    type: path
    default: /var/lib/oncall-runbooks
"""

EXAMPLES = r"""
- name: The signing secret is there and long enough
  oncall.runbooks.secret_health:
    path: /opt/roost/.env.prod
    key: AUTH_JWT_SECRET
"""

RETURN = r"""
findings:
  description: The checks C(secret_stored) and C(secret_copies).
  returned: always
  type: list
  elements: dict
  sample:
    - check: secret_stored
      host: ""
      status: ok
      observed: {present: true, length: 64, lines: 1, mode: "0600"}
      expected: {length: 32}
      summary: AUTH_JWT_SECRET in /opt/roost/.env.prod has 64 characters.
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.health import measure


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Look and return the findings."""
    return {"changed": False, "findings": measure(params)}


def main() -> None:
    """Validate the options, look, exit."""
    spec: Dict[str, Any] = {
        "path": {"type": "path", "required": True},
        "key": {"type": "str", "required": True, "no_log": False},
        "min_length": {"type": "int", "default": 32},
        "private_dir": {"type": "path", "default": "/var/lib/oncall-runbooks"},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
