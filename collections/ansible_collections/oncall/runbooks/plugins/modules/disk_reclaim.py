#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Free disk space by removing or emptying only what was declared disposable."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: disk_reclaim
short_description: Free disk space by removing only what was declared disposable
version_added: 0.1.0
description:
  - Goes through O(candidates) in order, the oldest files first, and stops as soon as O(goal_percent) is free.
  - Touches regular files only, on the file system of O(path) only, never through a symbolic link.
  - Never touches anything inside a PostgreSQL data directory, whatever a glob says.
  - Removes container images one by one where they are declared, each only if nothing needs it. Containers,
    volumes and networks are never touched, and nothing is pruned but, where it is declared, the build cache.
  - Verifies that the bytes came free. A goal that was not met is a failure that says what is left to do.
extends_documentation_fragment:
  - oncall.runbooks.reclaim
  - oncall.runbooks.attributes.changes
author:
  - the oncall.runbooks authors (@oncall-runbooks)
attributes:
  check_mode:
    details: Lists each file with its size.
  idempotent:
    details: It does nothing once enough is free.
options:
  evidence_dir:
    description: Folder on the target, on a file system with room, for the ends of emptied files.
    type: path
"""

EXAMPLES = r"""
- name: Remove old dumps, then empty the logs of containers, until a fifth is free
  oncall.runbooks.disk_reclaim:
    path: /var/lib/docker
    goal_percent: 20
    candidates:
      - paths: [/tmp/*.sql, /tmp/*.sql.gz]
      - paths: [/var/lib/docker/containers/*/*-json.log]
        action: truncate
        older_than_hours: 0
      - images: {keep_releases: 2, keep: [postgres]}
        older_than_hours: 168
"""

RETURN = r"""
items:
  description: Each thing that was, or would be, removed or emptied, with what it gives back in bytes.
  returned: always
  type: list
  elements: dict
freed:
  description: Bytes that came free, as the file system counts them.
  returned: always
  type: int
prediction:
  description: What changes.
  returned: always
  type: dict
evidence:
  description: The ends of emptied files.
  returned: always
  type: list
  elements: dict
undo:
  description: Why this cannot be taken back.
  returned: when changed
  type: dict
"""

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import RECLAIM_SPEC, reclaim


def main() -> None:
    """Validate the options, free the space, exit."""
    run_module(dict(RECLAIM_SPEC, evidence_dir={"type": "path"}), reclaim)


if __name__ == "__main__":
    main()
