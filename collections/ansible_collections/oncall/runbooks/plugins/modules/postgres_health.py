#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure a PostgreSQL database and its host in one round trip."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: postgres_health
short_description: Measure a PostgreSQL database and its host in one round trip
version_added: 0.1.0
description:
  - Measures disk, inodes, memory, load, the container, unit or process, whether the server accepts, answers and writes,
    its connections, replication, checkpoints, WAL, log, and whether the expected tables can be read.
  - All probes run at the same time, each with its own time limit. One that hangs becomes a finding, never a hang.
  - Works while the database is down; what could not be measured is V(unknown), never V(ok).
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.service.runtime
  - oncall.runbooks.attributes.reads
attributes:
  check_mode:
    details:
      - It measures in check mode too. The one write, a temporary table of 256 KiB, is always rolled back.
options:
  database:
    description: Database whose tables are read and whose writes are tried.
    type: str
    required: true
  runtime:
    description: What runs the server. Without it, C(postgres_runtime) and C(postgres_log) are not measured.
  data_path:
    description: Path whose file system holds the data. Empty means not measured.
    type: path
    default: ""
  docker_root:
    description: Path whose file system holds images and container logs. Empty means not measured.
    type: path
    default: ""
  expected_tables:
    description: Tables (C(schema.table)) that must exist and be readable. Empty means every table there is.
    type: list
    elements: str
    default: []
  checks:
    description: What to measure. Empty means everything.
    type: list
    elements: str
    default: []
    choices:
      - data_disk
      - data_inodes
      - docker_disk
      - memory
      - load
      - postgres_runtime
      - postgres_log
      - postgres_accepts
      - postgres_answers
      - postgres_writes
      - postgres_connections
      - postgres_replication
      - postgres_checkpoint
      - postgres_wal
      - postgres_queries
      - postgres_data
  timeout:
    description: Seconds each probe may take. The whole call takes at most 1.5 seconds longer.
    type: float
    default: 5
  thresholds:
    description: From which value on a measurement is a warning or a failure. Each can be set on its own.
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
        description: Free bytes below which it is a warning, on small file systems at most a fifth of the whole.
        type: int
        default: 2147483648
      disk_fail_free:
        description: Free bytes below which it is a failure, on small file systems at most a twentieth of the whole.
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
      connections_warn_percent:
        description: Connections in percent of those not reserved, for a warning.
        type: float
        default: 80
      connections_fail_percent:
        description: Connections in percent of those not reserved, for a failure.
        type: float
        default: 95
      idle_in_transaction_warn:
        description: Seconds a session sits idle in a transaction, for a warning.
        type: float
        default: 300
      transaction_warn:
        description: Age of the oldest transaction in seconds, for a warning.
        type: float
        default: 1800
      query_warn:
        description: Seconds that one query of a client runs, for a warning.
        type: float
        default: 300
      query_fail:
        description: Seconds that one query of a client runs, for a failure. A dump is never more than a warning.
        type: float
        default: 1800
      blocked_warn:
        description: Seconds a session waits for a lock, for a warning.
        type: float
        default: 5
      blocked_fail:
        description: Seconds a session waits for a lock, for a failure.
        type: float
        default: 60
      replication_lag_warn:
        description: Seconds of replication lag, for a warning.
        type: float
        default: 60
      replication_lag_fail:
        description: Seconds of replication lag, for a failure.
        type: float
        default: 600
      slot_retained_warn:
        description: Bytes of WAL kept by inactive slots, for a warning.
        type: int
        default: 1073741824
      slot_retained_fail:
        description: Bytes of WAL kept by inactive slots, for a failure.
        type: int
        default: 10737418240
      checkpoint_age_warn:
        description: Age of the last checkpoint in seconds, for a warning, when WAL was written since.
        type: float
        default: 3600
      wal_warn:
        description: Bytes in pg_wal for a warning, at least twice C(max_wal_size).
        type: int
        default: 4294967296
      wal_fail:
        description: Bytes in pg_wal for a failure, at least four times C(max_wal_size).
        type: int
        default: 21474836480
      log_hours:
        description: How many hours the log is looked back.
        type: float
        default: 24
      log_recent:
        description: Seconds within which an error in the log still counts as happening.
        type: float
        default: 900
      log_max_bytes:
        description: How many bytes of the log's end are read.
        type: int
        default: 4194304
      table_read_limit:
        description: Bytes up to which a table is read whole; of a larger one a sample of this size is read.
        type: int
        default: 268435456
"""

EXAMPLES = r"""
- name: Measure the database and its host
  oncall.runbooks.postgres_health:
    database: roost_prod
    login_host: 127.0.0.1
    login_user: roost
    login_password: "{{ postgres_login_password }}"
    runtime: {kind: docker, name: roost-postgres}
    data_path: /var/lib/docker/volumes/roost_postgres_data
    docker_root: /var/lib/docker
    expected_tables: [public.subscribers]
  register: health
"""

RETURN = r"""
findings:
  description: One finding or more for each check that was asked for.
  returned: always
  type: list
  elements: dict
  sample:
    - check: postgres_answers
      host: ""
      status: fail
      observed: {answers: false, kind: timeout}
      expected: {answers: true}
      summary: "PostgreSQL answers no query: …"
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

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.health import CHECKS, measure_health
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import measured
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import threshold_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import RUNTIME_SPEC


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001 - it only reads
    """Measure and return the module's result; nothing is ever changed."""
    return measured(lambda: measure_health(params))


def main() -> None:
    """Validate the options, measure, exit."""
    spec = dict(
        argument_spec(),
        database={"type": "str", "required": True},
        runtime={"type": "dict", "options": RUNTIME_SPEC},
        data_path={"type": "path", "default": ""},
        docker_root={"type": "path", "default": ""},
        log_path={"type": "path", "default": ""},
        expected_tables={"type": "list", "elements": "str", "default": []},
        checks={"type": "list", "elements": "str", "default": [], "choices": list(CHECKS)},
        timeout={"type": "float", "default": 5.0},
        thresholds=threshold_spec(),
    )
    run_module(spec, run)


if __name__ == "__main__":
    main()
