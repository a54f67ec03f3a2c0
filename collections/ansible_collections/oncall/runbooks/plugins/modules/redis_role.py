#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a replica of Redis a primary, and back."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: redis_role
short_description: Make a replica of Redis a primary when no other server can be it, and back
version_added: 0.1.0
description:
  - A replica takes no writes. V(primary) makes it one that does, after it is proven that the server it follows is gone, or
    is itself. While anything listens there, or the link to it is up, this is refused, because writes to two primaries cannot
    be joined again.
  - V(replica) takes that back. As a sync throws away what the server holds, a snapshot is written and copied to O(keep_dir)
    first.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.redis
  - oncall.runbooks.service.platform
  - oncall.runbooks.attributes.changes
options:
  state:
    description: What the server shall be.
    type: str
    default: primary
    choices: [primary, replica]
  confirm:
    description: Somebody has made sure that no other server takes writes; nothing is proven then.
    type: bool
    default: false
  primary_host:
    description: Whom it shall follow, for O(state=replica).
    type: str
  primary_port:
    description: The port of O(primary_host).
    type: int
  data_path:
    description: Folder of the server's files as this host sees it.
    type: path
  keep_dir:
    description: Folder for the copy of the snapshot, readable by its owner only.
    type: path
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
- name: Make the server a primary again, which follows one that is gone
  oncall.runbooks.redis_role:
    login_password: "{{ redis_login_password }}"
    state: primary
"""

RETURN = r"""
proof:
  description: Why no other server can be the primary.
  returned: when it becomes the primary
  type: str
  sample: nobody listens at 10.0.0.7:6379, which it follows (No route to host)
evidence:
  description: The copy of the snapshot.
  returned: when it became a replica
  type: list
  elements: dict
prediction:
  description: What changes.
  returned: always
  type: dict
undo:
  description: How it is taken back.
  returned: when it becomes the primary
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.role import set_role
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import RUNTIME_SPEC


def main() -> None:
    """Validate the options, change the role, exit."""
    spec: Dict[str, Any] = dict(
        argument_spec(),
        state={"type": "str", "default": "primary", "choices": ["primary", "replica"]},
        confirm={"type": "bool", "default": False},
        primary_host={"type": "str"},
        primary_port={"type": "int"},
        data_path={"type": "path"},
        keep_dir={"type": "path"},
        runtime={"type": "dict", "options": RUNTIME_SPEC},
        timeout={"type": "float", "default": 3.0},
        save_timeout={"type": "float", "default": 120.0},
    )
    needed = ["primary_host", "primary_port", "data_path", "keep_dir"]
    run_module(spec, set_role, required_if=[("state", "replica", needed)])


if __name__ == "__main__":
    main()
