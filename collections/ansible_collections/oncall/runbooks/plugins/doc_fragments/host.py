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
"""
