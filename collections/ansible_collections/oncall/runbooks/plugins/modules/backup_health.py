#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: backup_health
short_description: Measure whether there is a backup that can be restored
version_added: 0.1.0
description:
  - Lists the backups in an S3 bucket, judges each by its name, time, size, upload and its first and last
    bytes, and reports as findings what a restore would find.
  - Selects as M(oncall.runbooks.pg_restore_r2) does, so what is called good here is what a restore takes.
  - Runs on the controller; the credentials never leave it.
  - Whatever stands in the way of looking (the network, rights, an endpoint that was never filled in) is a
    finding too, never V(ok) and never a failure that would stop the other diagnosis.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.s3
  - oncall.runbooks.attributes.reads
options:
  checks:
    description: Only these checks. Empty means all.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: The newest backup is there, young and whole
  oncall.runbooks.backup_health:
    endpoint_url: "https://{{ r2_account_id }}.r2.cloudflarestorage.com"
    bucket: roost-backups
    prefix: postgres/
    pattern: roost_prod-(?P<timestamp>\d{8}T\d{6}Z)\.sql\.gz
    access_key: "{{ r2_access_key }}"
    secret_key: "{{ r2_secret_key }}"
  register: backup

- name: What would have been restored before the damage was done
  oncall.runbooks.backup_health:
    bucket: roost-backups
    pattern: roost_prod-(?P<timestamp>\d{8}T\d{6}Z)\.sql\.gz
    before: "2026-11-20T14:30:00Z"
"""

RETURN = r"""
findings:
  description: The checks C(backup_newest), C(backup_age), C(backup_size_trend) and C(backup_rejected).
  returned: always
  type: list
  elements: dict
  sample:
    - check: backup_age
      host: db1
      status: ok
      observed: 4.7
      expected: 26.0
      summary: The newest good backup is 4.7 h old (limit 26 h).
backup:
  description: The backup that a restore would take, with its age and checksum; empty when there is none.
  returned: always
  type: dict
  sample:
    key: postgres/roost_prod-20261121T030000Z.sql.gz
    timestamp: "2026-11-21T03:00:00Z"
    last_modified: "2026-11-21T03:01:12Z"
    size: 213112004
    etag: 0b3c5a3f6f9d4f3b9a8c7d6e5f4a3b2c
    parts: 1
    directory: false
    age_hours: 4.7
    checksum: {algorithm: sha256, source: postgres/SHA256SUMS, value: "9f86…"}
    dump: {format: plain, compression: gzip, server_version: "15.13", database: roost_prod}
    notes: []
    warnings: []
candidates:
  description:
    - Every object looked at, the newest first.
    - Each has a C(verdict), which is chosen, good or rejected, and a C(reason).
  returned: always
  type: list
  elements: dict
warnings:
  description: What the operator has to know beyond the findings.
  returned: when there is any
  type: list
  elements: str
"""
