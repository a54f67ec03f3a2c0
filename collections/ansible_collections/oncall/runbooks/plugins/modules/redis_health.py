#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure Redis and its host in one round trip."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: redis_health
short_description: Measure Redis and its host in one round trip
version_added: 0.1.0
description:
  - Asks at the same time whether Redis runs, answers, takes a write, how near it is to its limits, whether what it holds
    gets to disk, whom it follows, and what its log and its host say.
  - Without O(runtime), C(redis_runtime) and C(redis_log) are not measured.
  - PONG proves little, because a server whose memory is full, or that is a replica, answers it and refuses every write.
    So a key is written, read and deleted again in one transaction that nobody else can see. Otherwise nothing is changed.
  - An error reply is a failure with its reason, never an answer. A replica, a full memory, a failed snapshot, a server that
    is still loading and one without a free connection are told apart by C(observed.kind).
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.redis
  - oncall.runbooks.redis.server
  - oncall.runbooks.service.platform
  - oncall.runbooks.attributes.reads
options:
  data_path:
    description: Path whose file system holds the server's files; C(data_disk) and C(data_inodes) are its.
    type: path
    default: /
  expected_role:
    description: What the server has to be.
    type: str
    default: primary
    choices: [primary, replica, any]
  clients:
    description: Services that log in to this server. Whether it takes their logins is C(redis_credentials).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What the system calls the service.
        type: str
        required: true
      part:
        description: What it is for; the finding carries it.
        type: str
        default: ""
      runtime:
        description: What runs the service.
        type: dict
        required: true
        suboptions:
          kind:
            description: Container engine, compose, init system, or supervisord.
            type: str
            required: true
            choices: [docker, compose, systemd, supervisor, process]
          name:
            description: Exact name of the container, unit or program.
            type: str
          data_dir:
            description: Only for a PostgreSQL server.
            type: path
          engine:
            description: Program of the container engine.
            type: str
            default: docker
          bin_dir:
            description: Only for a PostgreSQL server.
            type: path
          service:
            description: Name in the compose file, kind V(compose).
            type: str
          project_dir:
            description: Folder of the compose project.
            type: path
          file:
            description: The compose file, in C(project_dir).
            type: str
            default: docker-compose.yml
          env_file:
            description: File of its settings, in C(project_dir).
            type: str
          config:
            description: Configuration file of supervisord, kind V(supervisor).
            type: path
      setting:
        description: Setting with the URL of the server. It is never told.
        type: str
        default: REDIS_URL
  checks:
    description: Measure only these. Empty means all.
    type: list
    elements: str
    default: []
    choices:
      - data_disk
      - data_inodes
      - memory
      - load
      - redis_runtime
      - redis_log
      - redis_answers
      - redis_writes
      - redis_memory
      - redis_persistence
      - redis_role
      - redis_clients
      - redis_latency
      - redis_keys
      - redis_credentials
  wait:
    description: Seconds for which it is measured again until nothing fails, as after a change.
    type: float
    default: 0
  thresholds:
    description: From which value on something is a warning or a failure.
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
        description: Memory used of maxmemory (or of all there is) in percent, for a warning.
        type: float
        default: 85
      memory_fail_percent:
        description: The same for a failure, unless keys can be evicted.
        type: float
        default: 98
      clients_warn_percent:
        description: Connections taken in percent, for a warning.
        type: float
        default: 80
      clients_fail_percent:
        description: Connections taken in percent, for a failure.
        type: float
        default: 95
      latency_warn_ms:
        description: Milliseconds of a usual answer, for a warning.
        type: float
        default: 20
      latency_fail_ms:
        description: Milliseconds of a usual answer, for a failure.
        type: float
        default: 500
      log_hours:
        description: How many hours the log is looked back.
        type: float
        default: 24
seealso:
  - module: oncall.runbooks.redis_configure
  - module: oncall.runbooks.redis_role
"""

EXAMPLES = r"""
- name: Measure Redis, its host, and whether it takes the login of the API
  oncall.runbooks.redis_health:
    login_password: "{{ redis_login_password }}"
    runtime: {kind: compose, name: cleaning-redis-1, service: redis, project_dir: /opt/cleaning}
    data_path: /var/lib/docker
    queues: [jobs, jobs:dead]
  register: health
"""

RETURN = r"""
findings:
  description: One finding or more for each check that was asked for.
  returned: always
  type: list
  elements: dict
  sample:
    - check: redis_writes
      host: ""
      status: fail
      observed: {writes: false, kind: oom}
      expected: {writes: true}
      summary: "Could not write to Redis (127.0.0.1:6379): OOM command not allowed …"
status:
  description: The worst status among the findings.
  returned: always
  type: str
  sample: fail
duration_s:
  description: Seconds the measurement took.
  returned: always
  type: float
  sample: 0.2
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import measured
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import threshold_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.credentials import CLIENT_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.health import (
    CHECKS,
    ON_DISK,
    SERVER_SPEC,
    THRESHOLDS,
    measure_health,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import RUNTIME_SPEC


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Measure and return the module's result; no key of anybody is changed."""
    return measured(lambda: measure_health(params))


def main() -> None:
    """Validate the options, measure, exit."""
    limits = {name: {"type": "float", "default": default} for name, default in THRESHOLDS.items()}
    limits.update(threshold_spec(*ON_DISK)["options"])
    spec = dict(
        argument_spec(),
        **SERVER_SPEC,
        runtime={"type": "dict", "options": RUNTIME_SPEC},
        data_path={"type": "path", "default": "/"},
        expected_role={"type": "str", "default": "primary", "choices": ["primary", "replica", "any"]},
        clients={"type": "list", "elements": "dict", "options": CLIENT_SPEC, "default": []},
        checks={"type": "list", "elements": "str", "default": [], "choices": list(CHECKS)},
        wait={"type": "float", "default": 0.0},
        thresholds={"type": "dict", "default": {}, "apply_defaults": True, "options": limits},
    )
    run_module(spec, run)


if __name__ == "__main__":
    main()
