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
  - Never asks a container engine to prune.
  - Verifies that the bytes came free. A goal that was not met is a failure that says what is left to do.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
attributes:
  check_mode:
    description: Can run in check mode and predict what it would do.
    support: full
    details: Lists each file with its size.
  diff_mode:
    description: Returns what has changed.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
    details: It does nothing once enough is free.
options:
  path:
    description: Path on the file system that has to get space.
    type: path
    required: true
  goal_percent:
    description: Free space in percent at which it stops.
    type: float
    default: 20
  candidates:
    description: What may go, in order.
    type: list
    elements: dict
    required: true
    suboptions:
      paths:
        description: Globs of absolute paths.
        type: list
        elements: str
        required: true
      older_than_hours:
        description: Only files that have not changed for so long.
        type: float
        default: 24
      action:
        description: Remove the file, or empty it (for a file that a process keeps open) after its end was kept.
        type: str
        choices: [remove, truncate]
        default: remove
  protected:
    description: Folders in which nothing is ever touched.
    type: list
    elements: path
    default: []
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
"""

RETURN = r"""
items:
  description: Each file that was, or would be, removed or emptied, with its size in bytes.
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

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import reclaim


def main() -> None:
    """Validate the options, free the space, exit."""
    candidate: Dict[str, Any] = {
        "paths": {"type": "list", "elements": "str", "required": True},
        "older_than_hours": {"type": "float", "default": 24.0},
        "action": {"type": "str", "choices": ["remove", "truncate"], "default": "remove"},
    }
    spec: Dict[str, Any] = {
        "path": {"type": "path", "required": True},
        "goal_percent": {"type": "float", "default": 20.0},
        "candidates": {"type": "list", "elements": "dict", "required": True, "options": candidate},
        "protected": {"type": "list", "elements": "path", "default": []},
        "evidence_dir": {"type": "path"},
    }
    run_module(spec, reclaim)


if __name__ == "__main__":
    main()
