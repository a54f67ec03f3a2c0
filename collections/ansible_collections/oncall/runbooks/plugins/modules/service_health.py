#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure every service of a host, and the host, in one round trip."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: service_health
short_description: Measure every service of a host, and the host, in one round trip
version_added: 0.1.0
description:
  - For each service measures whether it runs (state, restarts, exit code, out of memory, frozen, restart loop, missing),
    whether it answers as it should and says to be ready, what its log complains of, and whether it runs with the settings
    it needs.
  - Measures disk, inodes, memory and load of the host as M(oncall.runbooks.host_health) does.
  - All probes run at the same time, each with its own time limit. One that hangs becomes a finding, never a hang.
  - With O(usage), several looks at all processes tell what each service uses of its limits (C(service_usage)), what of
    those that belong to no service uses too much (C(process_usage)), and how busy the host is (C(processors)).
  - No value of a setting and no secret of a log is ever returned.
  - URLs in O(outside) are asked by the controller meanwhile; what is secret there never reaches the target.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.service
  - oncall.runbooks.host
  - oncall.runbooks.urls
  - oncall.runbooks.attributes.reads
options:
  checks:
    description: What to measure. Empty means everything.
    type: list
    elements: str
    default: []
    choices:
      - service_runtime
      - service_health
      - service_ready
      - database_connected
      - migrations_current
      - service_log
      - service_errors
      - service_settings
      - tunnel_connections
      - settings_temporary
      - data_disk
      - data_inodes
      - docker_disk
      - memory
      - load
      - service_usage
      - process_usage
      - processors
  cdn:
    description: What M(oncall.runbooks.cdn_health) takes. When given, the controller measures that meanwhile, too.
    type: dict
    default: {}
  private_dir:
    description:
      - Folder of pre-images, as of M(oncall.runbooks.service_settings). When given, changes of settings that are in place
        for a limited time are told as C(settings_temporary).
    type: path
    default: ""
  usage:
    description: How it is measured what each service and everybody else use of the processors and the memory.
    type: dict
    default: {}
    suboptions:
      samples:
        description: So many spans are looked at. V(0) means that nothing of this is measured.
        type: int
        default: 0
      interval:
        description: Seconds of each.
        type: float
        default: 1
      memory_fail_percent:
        description: Memory of a service, in percent of its limit, from which on it is a failure.
        type: float
        default: 85
      processor_fail_percent:
        description: What a service uses of its processors, in percent and in each span, from which on it is a failure.
        type: float
        default: 80
      host_fail_percent:
        description: How busy the host's processors are, in percent and in each span, from which on it is a failure.
        type: float
        default: 80
      process_fail_percent:
        description: What a process of no service uses of one processor, in percent and in each span, for a failure.
        type: float
        default: 80
      process_age:
        description: Seconds since its start before such a process is a failure.
        type: float
        default: 600
  timeout:
    description: Seconds each probe may take. The whole call takes about one second longer at most.
    type: float
    default: 3
  wait:
    description:
      - Seconds to measure again and again until nothing fails, as after a restart. The last measurement is returned.
    type: float
    default: 0
  steady:
    description:
      - How many measurements in a row have to be without a failure. With V(1) the first that is good ends the waiting. A
        service that comes up and falls down again does not pass a higher number.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Measure the services and their host
  oncall.runbooks.service_health:
    services:
      - name: relay
        part: stream
        runtime: {kind: docker, name: roost-relay}
        health: {url: "http://127.0.0.1:8090/health", json: {status: ok}}
        log: {patterns: {"db connection error": database}}
      - name: auth
        part: auth
        runtime: {kind: compose, name: roost-auth, service: auth, project_dir: /opt/roost, env_file: .env.prod}
        settings: [{name: AUTH_JWT_SECRET, min_length: 32}]
    docker_root: /var/lib/docker
  register: health
"""

RETURN = r"""
findings:
  description: One finding or more for each check of each service; C(observed.service) and C(observed.part) tell which.
  returned: always
  type: list
  elements: dict
  sample:
    - check: service_health
      host: ""
      status: fail
      observed: {service: relay, part: stream, reason: refused, status: null, seconds: 0.001, url: "http://127.0.0.1:8090/health"}
      expected: {status: [200], json: {status: ok}}
      summary: "relay: http://127.0.0.1:8090/health: the connection was refused: nobody listens there."
status:
  description: The worst status among the findings.
  returned: always
  type: str
  sample: fail
duration_s:
  description: Seconds the measurement took.
  returned: always
  type: float
  sample: 0.4
"""

from typing import Any, Dict, List

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.host import HOST_SPEC, host_probes
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import (
    Probe,
    measured,
    run_wanted,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.services import (
    CHECKS,
    SERVICE_SPEC,
    service_probes,
    usage_probe,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.urls import OUTSIDE_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.usage import CHECKS as USAGE_CHECKS
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.usage import USAGE_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.service.pending import pending_changes

HOST_CHECKS = ("data_disk", "data_inodes", "docker_disk", "memory", "load")
ALL_CHECKS = (*CHECKS, "settings_temporary", *HOST_CHECKS, *USAGE_CHECKS)


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Measure and return the module's result; nothing is ever changed."""
    return measured(lambda: _measure(params))


def _measure(params: Dict[str, Any]) -> List[Dict[str, Any]]:
    wanted = params["checks"] or ALL_CHECKS
    probes = service_probes(params["services"], wanted, params["timeout"])
    if params["private_dir"]:
        probes.append(
            Probe(("settings_temporary",), lambda: pending_changes(params["private_dir"]), params["timeout"])
        )
    usage = params.get("usage") or {}
    if usage.get("samples") and set(wanted).intersection(USAGE_CHECKS):
        probes.append(usage_probe(params["services"], usage, params["timeout"]))
    return run_wanted(probes + host_probes(params), wanted)


def main() -> None:
    """Validate the options, measure, exit."""
    spec = {
        "services": {"type": "list", "elements": "dict", "options": SERVICE_SPEC, "required": True},
        "checks": {"type": "list", "elements": "str", "default": [], "choices": list(ALL_CHECKS)},
        **HOST_SPEC,
        "cdn": {"type": "dict", "default": {}},
        "private_dir": {"type": "path", "default": ""},
        "timeout": {"type": "float", "default": 3.0},
        "wait": {"type": "float", "default": 0.0},
        "steady": {"type": "int", "default": 1},
        "outside": OUTSIDE_SPEC,
        "usage": USAGE_SPEC,
    }
    run_module(spec, run)


if __name__ == "__main__":
    main()
