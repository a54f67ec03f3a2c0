#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure a host in one round trip."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: host_health
short_description: Measure disk, inodes, memory and load of a host in one round trip
version_added: 0.1.0
description:
  - The probes of a host that M(oncall.runbooks.postgres_health) has, for a host without a database.
  - Where O(look_into) names folders, also what takes the space (C(disk_use)) and which deleted files are still open
    (C(disk_deleted)).
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.host
  - oncall.runbooks.attributes.reads
options:
  look_into:
    description:
      - Folders whose largest subfolders and files are named, each on its own file system only.
    type: list
    elements: path
    default: []
  look_seconds:
    description: Seconds to look into them; what was not seen by then is told.
    type: float
    default: 10
  timeout:
    description: Seconds each probe may take.
    type: float
    default: 5
seealso:
  - module: oncall.runbooks.postgres_health
"""

EXAMPLES = r"""
- name: Measure the host
  oncall.runbooks.host_health:
    data_path: /srv

- name: Measure the host, and what takes its space
  oncall.runbooks.host_health:
    thresholds: {disk_fail_percent: 85}
    look_into: [/var/lib/docker, /var/log, /tmp]
"""

RETURN = r"""
findings:
  description: One finding for each check.
  returned: always
  type: list
  elements: dict
status:
  description: The worst status among the findings.
  returned: always
  type: str
"""

from typing import Any, Dict, List

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import worst
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.disk_use import (
    measure_deleted,
    measure_use,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.host import HOST_SPEC, host_probes
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe, run_probes


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Measure and return the module's result; nothing is ever changed."""
    findings = run_probes(host_probes(params) + _space_probes(params))
    return {"changed": False, "findings": findings, "status": worst(findings)}


def _space_probes(params: Dict[str, Any]) -> List[Probe]:
    """What takes the space is looked for only where folders are named: it takes reading."""
    folders, seconds = params["look_into"], params["look_seconds"]
    path, paths = params["data_path"], [params["data_path"], params["docker_root"]]
    if not folders:
        return []
    return [
        Probe(("disk_use",), lambda: measure_use(path, folders, seconds), seconds + params["timeout"]),
        Probe(("disk_deleted",), lambda: measure_deleted(paths), seconds + params["timeout"]),
    ]


def main() -> None:
    """Validate the options, measure, exit."""
    spec = {
        **HOST_SPEC,
        "look_into": {"type": "list", "elements": "path", "default": []},
        "look_seconds": {"type": "float", "default": 10.0},
        "timeout": {"type": "float", "default": 5.0},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
