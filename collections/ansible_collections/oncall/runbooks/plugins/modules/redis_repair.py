#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mend the files that keep Redis from starting."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: redis_repair
short_description: Mend the files that keep Redis from starting, after copies were made
version_added: 0.1.0
description:
  - Only for a server that is down. It is refused while anything answers at its address, because the files of a running
    server change while they are copied. One that is started again and again is stopped first. To take a repair back the server is
    stopped, and stays down, because it cannot start with the files that come back.
  - Has Redis's own C(redis-check-aof) look at the files. The check mode does that, too, and says exactly what would be lost.
  - Copies every file to O(keep_dir), with checksums, before one is touched. The server is not started; that is the job of
    M(oncall.runbooks.service_restart).
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.redis
  - oncall.runbooks.service.platform
  - oncall.runbooks.attributes.changes
attributes:
  idempotent:
    support: partial
    details: A file that is whole is refused, not cut again.
options:
  runtime:
    required: true
  state:
    description:
      - V(repaired) makes the files such that the server can start, as O(source) says.
      - V(undone) stops the server, puts the copies in O(keep_dir) back, and keeps beside them what is there now.
    type: str
    default: repaired
    choices: [repaired, undone]
  source:
    description:
      - V(aof) cuts the append-only file at the first damaged entry. It is refused when that is not in the last of its files.
      - V(snapshot) starts from the last snapshot, which takes the place of the append-only file. Without that, a server
        with the append-only file switched on would start empty, and overwrite the snapshot.
      - V(empty) starts with nothing; only for a cache, and only when confirmed.
    type: str
    default: aof
    choices: [aof, snapshot, empty]
  data_path:
    description: Folder of the server's files as this host sees it.
    type: path
    required: true
  container_dir:
    description: The same folder as the container sees it; empty when there is no container.
    type: path
    default: ""
  keep_dir:
    description: Folder for the copies, readable by its owner only.
    type: path
    required: true
  check_command:
    description:
      - What runs C(redis-check-aof); the file is added. Default is another container of the same image for a container,
        C(redis-check-aof) otherwise.
    type: list
    elements: str
    default: []
  cache_only:
    description: Whether all that the server holds can be made again.
    type: bool
    default: false
  confirm_empty:
    description: Somebody wants it to start with nothing.
    type: bool
    default: false
  stop_timeout:
    description: Seconds that a server which is started again and again gets to stop.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Cut the append-only file where the damage begins
  oncall.runbooks.redis_repair:
    runtime: {kind: docker, name: cleaning-redis-1}
    login_password: "{{ redis_login_password }}"
    data_path: /var/lib/docker/volumes/cleaning_redis_data/_data
    container_dir: /data
    keep_dir: /var/lib/oncall-runbooks/redis-files
"""

RETURN = r"""
prediction:
  description: What is done, and exactly what is lost.
  returned: always
  type: dict
evidence:
  description: The copies, with their checksums.
  returned: when changed
  type: list
  elements: dict
undo:
  description: How the files come back.
  returned: for O(state=repaired)
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.repair import SOURCES, repair
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import RUNTIME_SPEC


def main() -> None:
    """Validate the options, mend the files, exit."""
    spec: Dict[str, Any] = dict(
        argument_spec(),
        runtime={"type": "dict", "options": RUNTIME_SPEC, "required": True},
        state={"type": "str", "default": "repaired", "choices": ["repaired", "undone"]},
        source={"type": "str", "default": "aof", "choices": list(SOURCES)},
        data_path={"type": "path", "required": True},
        container_dir={"type": "path", "default": ""},
        keep_dir={"type": "path", "required": True},
        check_command={"type": "list", "elements": "str", "default": []},
        cache_only={"type": "bool", "default": False},
        confirm_empty={"type": "bool", "default": False},
        stop_timeout={"type": "float", "default": 30.0},
    )
    run_module(spec, repair)


if __name__ == "__main__":
    main()
