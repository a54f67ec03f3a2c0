#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have Redis write a snapshot, so that it takes writes again."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: redis_save
short_description: Have Redis write a snapshot, so that it takes writes again
version_added: 0.1.0
description:
  - After a snapshot that failed, Redis refuses writes until one succeeds, also when the cause is long gone. This has it
    write one and waits for its end.
  - Fails when that fails, too. The setting C(stop-writes-on-bgsave-error) is never changed, because with it off nobody
    notices that nothing gets to disk.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.redis
  - oncall.runbooks.service.platform
  - oncall.runbooks.attributes.changes
attributes:
  idempotent:
    details: As long as the last snapshot is good and nothing was written since.
options:
  timeout:
    description: Seconds each question to the server may take.
    type: float
    default: 3
  save_timeout:
    description: Seconds until the snapshot has to be done.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Let Redis save, and take writes again
  oncall.runbooks.redis_save:
    login_password: "{{ redis_login_password }}"
"""

RETURN = r"""
duration_s:
  description: Seconds the snapshot took.
  returned: when one was written
  type: float
prediction:
  description: What is written.
  returned: always
  type: dict
undo:
  description: Why there is nothing to take back.
  returned: always
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.save import save
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import RUNTIME_SPEC


def main() -> None:
    """Validate the options, save, exit."""
    spec: Dict[str, Any] = dict(
        argument_spec(),
        runtime={"type": "dict", "options": RUNTIME_SPEC},
        timeout={"type": "float", "default": 3.0},
        save_timeout={"type": "float", "default": 120.0},
    )
    run_module(spec, save)


if __name__ == "__main__":
    main()
