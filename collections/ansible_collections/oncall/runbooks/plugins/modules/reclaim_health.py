#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say whether what is declared disposable would free enough."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: reclaim_health
short_description: Measure whether what is declared disposable would free enough
version_added: 0.1.0
description:
  - Looks, as M(oncall.runbooks.disk_reclaim) would, whether the candidates are enough for the goal.
  - Where enough is free nothing is looked for, so it costs nothing on a healthy host.
extends_documentation_fragment:
  - oncall.runbooks.reclaim
  - oncall.runbooks.attributes.reads
author:
  - the oncall.runbooks authors (@oncall-runbooks)
options:
  check:
    description: What the finding is called, where more than one kind of candidates is asked about.
    type: str
    default: disk_reclaimable
"""

EXAMPLES = r"""
- name: Would it be enough to remove what may go
  oncall.runbooks.reclaim_health:
    path: /var/lib/docker
    candidates:
      - paths: [/tmp/*.sql]
"""

RETURN = r"""
findings:
  description: The one finding.
  returned: always
  type: list
  elements: dict
  sample:
    - check: disk_reclaimable
      host: ""
      status: fail
      observed: {path: /var/lib/docker, missing: 1073741824, reclaimable: 4096, items: 1}
      expected: {reclaimable: 1073741824}
      summary: 1.0 GiB are missing to 20 % free on /var/lib/docker; what is declared disposable gives back 4.0 KiB.
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import RECLAIM_SPEC, measure


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Look and return the finding."""
    return {"changed": False, "findings": [measure(params, params["check"])]}


def main() -> None:
    """Validate the options, look, exit."""
    run_module(dict(RECLAIM_SPEC, check={"type": "str", "default": "disk_reclaimable"}), run)


if __name__ == "__main__":
    main()
