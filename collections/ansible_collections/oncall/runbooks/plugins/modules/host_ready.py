#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a host whether it has what runs need of it."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: host_ready
short_description: Ask a host whether it has what runs need of it
version_added: 0.1.0
description:
  - For times when nothing burns. Looks for Python and its packages, the programs and rights that the host's
    services need, disk, folders, the clock, and whether the database role may do what a restore needs.
  - Everything is asked at the same time, in one round trip, and nothing is written.
  - The clock is held against the controller's, as far as the way there and back lets it be known.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.reads
options:
  runtimes:
    description:
      - What the services of this host run under, each as the C(runtime) of a service. Whoever starts and stops
        containers must be let do so; whoever restarts units of systemd must be root.
    type: list
    elements: dict
    default: []
  packages:
    description: Python packages that modules import on this host.
    type: list
    elements: str
    default: []
  paths:
    description: Paths that must exist, and whose file systems need room.
    type: list
    elements: path
    default: []
  folders:
    description: Folders that a run writes to. A folder that does not exist must be allowed to be made.
    type: list
    elements: path
    default: []
  database:
    description: Database to log in to. Empty means that this host has none.
    type: str
    default: ""
  container:
    description: Name of the container that holds the database and its client programs. Empty means none.
    type: str
    default: ""
  container_engine:
    description: Program that runs the container.
    type: str
    default: docker
  client_dir:
    description: Folder of C(pg_restore) and C(pg_dump). Empty means C(PATH).
    type: str
    default: ""
  timeout:
    description: Seconds each question may take.
    type: float
    default: 10
seealso:
  - module: oncall.runbooks.host_health
"""

EXAMPLES = r"""
- name: See whether this host has what a restore needs
  oncall.runbooks.host_ready:
    runtimes: [{kind: docker, name: shop-postgres}]
    packages: [psycopg2]
    paths: [/var/lib/docker]
    database: shop
    container: shop-postgres
    login_host: 127.0.0.1
    login_user: shop
    login_password: "{{ vault_shop_postgres_password }}"
"""

RETURN = r"""
findings:
  description:
    - The checks C(host_python), C(host_programs), C(host_folders), C(host_clock), C(host_disk) and
      C(postgres_rights); one finding for each thing that is missing.
  returned: always
  type: list
  elements: dict
  sample:
    - check: host_programs
      host: ""
      status: fail
      observed: {program: pg_restore}
      expected: null
      summary: "pg_restore cannot be started: run pg_restore failed: the program is not installed or not on PATH."
clock:
  description: Time on the host, in seconds since 1970. The action plugin makes C(host_clock) of it.
  returned: where no action plugin runs the module
  type: float
"""

import time
from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.ready import measure_ready


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Ask and return the findings; nothing is ever changed."""
    return {"changed": False, "findings": measure_ready(params), "clock": time.time()}


def main() -> None:
    """Validate the options, ask, exit."""
    spec = {
        **postgres.argument_spec(),
        "runtimes": {"type": "list", "elements": "dict", "default": []},
        "packages": {"type": "list", "elements": "str", "default": []},
        "paths": {"type": "list", "elements": "path", "default": []},
        "folders": {"type": "list", "elements": "path", "default": []},
        "database": {"type": "str", "default": ""},
        "container": {"type": "str", "default": ""},
        "container_engine": {"type": "str", "default": "docker"},
        "client_dir": {"type": "str", "default": ""},
        "timeout": {"type": "float", "default": 10.0},
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
