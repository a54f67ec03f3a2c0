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
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.host
  - oncall.runbooks.attributes.reads
options:
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

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import worst
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.host import HOST_SPEC, measure_host
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import DEFAULTS


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Measure and return the module's result; nothing is ever changed."""
    findings = measure_host(dict(params, thresholds=DEFAULTS))
    return {"changed": False, "findings": findings, "status": worst(findings)}


def main() -> None:
    """Validate the options, measure, exit."""
    spec = {
        **HOST_SPEC,
        "timeout": {"type": "float", "default": 5.0},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
