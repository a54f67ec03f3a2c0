# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of everything that measures a host's disks."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """Which file systems are measured; mirrors `module_utils.probes.host.HOST_SPEC`."""

    DOCUMENTATION = r"""
options:
  data_path:
    description: Path whose file system is measured as C(data_disk) and C(data_inodes).
    type: path
    default: /
  docker_root:
    description: Path whose file system is measured as C(docker_disk). Empty means not measured.
    type: path
    default: ""
  thresholds:
    description: From which value on something is a warning or a failure. Each can be set on its own.
    type: dict
    default: {}
    suboptions:
      disk_warn_percent:
        description: Used space of a file system, in percent, from which on it is a warning.
        type: float
        default: 80
      disk_fail_percent:
        description: Used space of a file system, in percent, from which on it is a failure.
        type: float
        default: 95
      disk_warn_free:
        description: Free bytes below which it is a warning, on a small file system at most a fifth of it.
        type: int
        default: 2147483648
      disk_fail_free:
        description: Free bytes below which it is a failure, on a small file system at most a twentieth of it.
        type: int
        default: 268435456
      inode_warn_percent:
        description: Used inodes in percent, for a warning.
        type: float
        default: 80
      inode_fail_percent:
        description: Used inodes in percent, for a failure.
        type: float
        default: 95
      memory_warn_percent:
        description: Available memory in percent below which it is a warning.
        type: float
        default: 10
      memory_fail_percent:
        description: Available memory in percent below which it is a failure.
        type: float
        default: 3
      load_warn:
        description: Load per processor over five minutes, for a warning.
        type: float
        default: 2
      load_fail:
        description: Load per processor over five minutes, for a failure.
        type: float
        default: 8
"""
