#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copy rows out of a database as evidence, before a mitigation changes them."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: evidence_export
short_description: Copy rows out of a database as evidence, with checksums
version_added: 0.1.0
description:
  - Copies tables, or columns of them, to private files, all as they were at the same moment.
  - Nothing is cut off, nothing is half written, and C(SHA256SUMS) beside the files lets anybody check them later.
  - The database is only read.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Counts the rows, writes nothing.
  idempotent:
    support: none
    details: Each run copies what is there at its time.
options:
  database:
    description: Database to copy from.
    type: str
    required: true
  exports:
    description: What to copy.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the file, without its ending.
        type: str
        required: true
      table:
        description: Table, as C(schema.table).
        type: str
        required: true
      columns:
        description: Columns. Default is all. Leave out what must not be copied, such as hashes of tokens.
        type: list
        elements: str
        default: []
      time_column:
        description: Column that O(since) is compared with. Without it all rows are copied.
        type: str
  since:
    description: Copy rows from this time on, in ISO 8601, where the export has a O(exports[].time_column).
    type: str
  format:
    description: Form of the files. V(json) is one object for each line.
    type: str
    choices: [csv, json]
    default: csv
  folder:
    description: Folder on the target. It is made with mode 0700, its files with 0600.
    type: path
    required: true
  timeout:
    description: Seconds each query may take.
    type: float
    default: 600
"""

EXAMPLES = r"""
- name: Keep the audit log and the state of the sessions
  oncall.runbooks.evidence_export:
    database: roost_prod
    login_user: roost
    login_password: "{{ postgres_login_password }}"
    folder: /var/lib/oncall-runbooks/evidence/20261121t030000z-7f3a9c
    since: "2026-11-20T00:00:00Z"
    exports:
      - {name: audit-log, table: public.audit_log, time_column: created_at}
      - {name: sessions, table: public.owl_sessions, columns: [id, subscriber_id, created_at, revoked_at]}
"""

RETURN = r"""
rows:
  description: Rows by export.
  returned: always
  type: dict
  sample: {audit-log: 150}
evidence:
  description: The files, each with path, SHA-256 and a summary.
  returned: when they were written
  type: list
  elements: dict
prediction:
  description: What is copied.
  returned: always
  type: dict
undo:
  description: Why there is nothing to take back.
  returned: always
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.breach.export import export
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec


def main() -> None:
    """Validate the options, copy, exit."""
    one: Dict[str, Any] = {
        "name": {"type": "str", "required": True},
        "table": {"type": "str", "required": True},
        "columns": {"type": "list", "elements": "str", "default": []},
        "time_column": {"type": "str"},
    }
    spec: Dict[str, Any] = dict(
        argument_spec(),
        database={"type": "str", "required": True},
        exports={"type": "list", "elements": "dict", "required": True, "options": one},
        since={"type": "str"},
        format={"type": "str", "choices": ["csv", "json"], "default": "csv"},
        folder={"type": "path", "required": True},
        timeout={"type": "float", "default": 600.0},
    )
    run_module(spec, export)


if __name__ == "__main__":
    main()
