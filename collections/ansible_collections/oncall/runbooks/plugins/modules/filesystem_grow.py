#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Enlarge a mounted file system to the end of its device."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: filesystem_grow
short_description: Enlarge a mounted file system to the end of its device
version_added: 0.1.0
description:
  - Finds what a path lies on, waits until the kernel sees the device at its new size, enlarges the partition
    where there is one (C(growpart)) and then the file system, with the program that fits what is mounted
    (C(resize2fs), C(xfs_growfs), C(btrfs)).
  - Refuses what it cannot enlarge, such as a logical volume, tmpfs, an overlay, or a file system that is mounted
    read-only, and says what to do instead.
  - Reads the size from the file system itself before and after, and fails when the space did not become usable.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: With O(device_bytes) it predicts for a device of that size.
options:
  path:
    description: Any path on the file system.
    type: path
    required: true
  device_bytes:
    description: Size in bytes that the device, or its disk, has or is about to get. 0 takes it as it is.
    type: int
    default: 0
  timeout:
    description: Seconds in which the kernel has to see the device at that size.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Make the space of the enlarged volume usable
  oncall.runbooks.filesystem_grow:
    path: /var/lib/docker/volumes/roost_postgres_data
    device_bytes: "{{ grown.bytes }}"
"""

RETURN = r"""
size_before:
  description: Bytes of the file system before.
  returned: always
  type: int
size:
  description: Bytes that it has (in check mode would have at most) now.
  returned: always
  type: int
device:
  description: Its block device.
  returned: always
  type: str
mount:
  description: Where it is mounted.
  returned: always
  type: str
fstype:
  description: Its kind.
  returned: always
  type: str
commands:
  description: What was run.
  returned: always
  type: list
  elements: str
prediction:
  description: What changes.
  returned: always
  type: dict
undo:
  description: Why it cannot be taken back.
  returned: when changed
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.storage.filesystem import grow


def main() -> None:
    """Validate the options, enlarge, exit."""
    spec: Dict[str, Any] = {
        "path": {"type": "path", "required": True},
        "device_bytes": {"type": "int", "default": 0},
        "timeout": {"type": "float", "default": 60.0},
    }
    run_module(spec, grow)


if __name__ == "__main__":
    main()
