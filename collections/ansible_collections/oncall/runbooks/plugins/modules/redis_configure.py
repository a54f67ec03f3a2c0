#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Change limits of a running Redis."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: redis_configure
short_description: Change limits of a running Redis, never at the price of a key
version_added: 0.1.0
description:
  - Sets maxmemory, its policy or maxclients while the server runs, reads them back, and has the server write them into the
    file that it starts with. Where it cannot (a container that gets its settings as arguments), the result says that a
    restart loses the change.
  - Refuses what would cost more than it helps. A maxmemory that the container or the host cannot hold while a snapshot is
    written, or that is used up already, and a policy that evicts keys of a server that holds more than a cache.
  - Counts the keys and the length of O(queues) before and after.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.redis
  - oncall.runbooks.redis.server
  - oncall.runbooks.service.platform
  - oncall.runbooks.attributes.changes
options:
  maxmemory:
    description:
      - Most memory for its data, in bytes or such as V(512mb).
      - V(auto) is the most that leaves a quarter of the limit for snapshots.
    type: str
  maxmemory_policy:
    description: What it does when that is used up. Other than V(noeviction) needs O(cache_only).
    type: str
    choices: [noeviction, allkeys-lru, allkeys-lfu, allkeys-random, volatile-lru, volatile-lfu, volatile-random, volatile-ttl]
  maxclients:
    description: Most connections.
    type: int
  undone:
    description: The values are those from before a change, and may be as little help as they were then.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Give Redis as much as its container has room for
  oncall.runbooks.redis_configure:
    login_password: "{{ redis_login_password }}"
    runtime: {kind: docker, name: cleaning-redis-1}
    maxmemory: auto
"""

RETURN = r"""
before:
  description: The settings before.
  returned: always
  type: dict
  sample: {maxmemory: "67108864", maxmemory-policy: noeviction, maxclients: "10000"}
persisted:
  description: Whether a restart keeps the change, and what to do when not.
  returned: when changed
  type: dict
  sample: {persisted: true, summary: the change is in the file that it starts with, next_step: ""}
keys:
  description: How many keys there were before and after, and where there are fewer (some may have expired).
  returned: when changed
  type: dict
prediction:
  description: What changes.
  returned: always
  type: dict
undo:
  description: How it is taken back.
  returned: when it changes something
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.configure import POLICIES, configure
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.health import SERVER_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import RUNTIME_SPEC


def main() -> None:
    """Validate the options, change the settings, exit."""
    spec: Dict[str, Any] = dict(
        argument_spec(),
        **SERVER_SPEC,
        runtime={"type": "dict", "options": RUNTIME_SPEC},
        maxmemory={"type": "str"},
        maxmemory_policy={"type": "str", "choices": list(POLICIES)},
        maxclients={"type": "int"},
        undone={"type": "bool", "default": False},
    )
    run_module(spec, configure)


if __name__ == "__main__":
    main()
