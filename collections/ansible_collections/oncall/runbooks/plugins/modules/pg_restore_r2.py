#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of pg_restore_r2 that runs on the target; the action plugin of the same name drives it."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: pg_restore_r2
short_description: Restore a PostgreSQL database from an S3 bucket, verified, switched in milliseconds
version_added: 0.1.0
description:
  - Chooses a backup in the bucket, streams it into a new database beside the live one, proves that everything
    in the backup is there, and only then gives the new database the live one's name.
  - The old database is kept under another name until it is released, so the restore can be undone.
  - Whatever fails, and whenever the module is killed, the live database stays as it was.
  - Nothing is staged on a disk. The bucket's credentials stay on the controller; the target only ever gets
    URLs that expire.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.postgres.client
  - oncall.runbooks.s3
attributes:
  check_mode:
    support: full
    description: Can run in check mode and return what it would do.
    details: Looks at everything, writes nothing to the server, and predicts names, sizes and duration.
  diff_mode:
    support: full
    description: Returns what has changed.
    details: The databases before and after; in check mode the same text.
  idempotent:
    support: full
    description: Does what it did already only with O(force).
    details: A backup that the live database was restored from is not restored again; an undo is not repeated.
options:
  database:
    description: The live database, by the name its clients use.
    type: str
    required: true
  state:
    description:
      - V(restored) restores a backup.
      - V(undone) puts the database back that was live before O(run).
      - V(released) drops what O(run) kept; this cannot be taken back.
    type: str
    choices: [restored, undone, released]
    default: restored
  run:
    description:
      - Names the databases that are made, and says whose restore to undo or release.
      - Default is E(ONCALL_RUN_ID) of the controller, else a new id.
    type: str
    default: ""
  bucket:
    description: Bucket that holds the backups. Required to restore.
    type: str
    required: false
    default: ""
  pattern:
    description: Regular expression that the name of a backup matches. Required unless O(key) is given.
    type: str
    required: false
    default: ""
  key:
    description:
      - Restore exactly this object (or folder, for a backup in directory format).
      - With O(state=undone) it is the safety copy of a restore in place, as the restore's RV(undo) says.
    type: str
    default: ""
  checks:
    description: Queries that must return true in the restored database before it is switched.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What the query proves, for the report.
        type: str
        required: true
      sql:
        description: A query that returns one row with true. Runs in a read-only transaction.
        type: str
        required: true
  jobs:
    description: Sessions that load rows at the same time; twice as many build indexes.
    type: int
    default: 2
  switch:
    description: Whether the restored database takes the live one's name, or stays beside it for inspection.
    type: bool
    default: true
  in_place:
    description:
      - Drop the live database first, when there is no room for two.
      - Needs O(confirm_in_place), and makes a verified safety copy in the bucket before anything is dropped.
    type: bool
    default: false
  confirm_in_place:
    description: The name of O(database), to confirm O(in_place).
    type: str
    default: ""
  force:
    description: Restore again what the live database was restored from already.
    type: bool
    default: false
  url_expiry:
    description: Seconds that a URL given to the target is valid; it is renewed as long as the restore runs.
    type: int
    default: 900
  stall_timeout:
    description: Seconds without a byte from the store after which a request is begun anew.
    type: float
    default: 30
  lease:
    description:
      - Seconds the restore lives on when its controller is gone, before it cleans up and ends.
      - Meanwhile it does not replace the live database; it waits for a sign of life before it does.
    type: float
    default: 15
  timeout:
    description: Seconds the whole restore may take; V(0) means no limit.
    type: float
    default: 0
  allow_other_database:
    description:
      - Accept a backup whose tables are mostly not those of the live database, or whose head names another
        database while there are no O(checks).
      - Without it such a backup is refused before the switch, because it is most likely another system's.
    type: bool
    default: false
  keep_failed:
    description: Keep a restored database that failed its verification, for inspection.
    type: bool
    default: false
  backup:
    description: Filled in by the action plugin. A value given in a task is refused.
    type: dict
seealso:
  - module: oncall.runbooks.backup_health
"""

EXAMPLES = r"""
- name: Plan the restore of the newest good backup from before the damage
  oncall.runbooks.pg_restore_r2:
    database: roost_prod
    endpoint_url: "{{ backup_endpoint_url }}"
    bucket: roost-backups
    prefix: postgres/
    pattern: 'roost_(?P<timestamp>\d{8}T\d{6}Z)\.sql\.gz'
    access_key: "{{ backup_access_key }}"
    secret_key: "{{ backup_secret_key }}"
    before: "2026-11-21T06:40:00Z"
    checks:
      - name: there are subscribers
        sql: SELECT count(*) > 0 FROM subscribers
  check_mode: true
  diff: true

- name: Take the restore of one run back
  oncall.runbooks.pg_restore_r2:
    database: roost_prod
    state: undone
    run: 20261121t064300z-7f3a9c

- name: Let go of the old database
  oncall.runbooks.pg_restore_r2:
    database: roost_prod
    state: released
    run: 20261121t064300z-7f3a9c
"""

RETURN = r"""
prediction:
  description: Names, sizes (bytes) and duration (seconds), the same for check mode and for real.
  returned: when restoring
  type: dict
backup:
  description: The chosen backup, and why each other was rejected.
  returned: when restoring
  type: dict
data_loss:
  description:
    - Age of the backup in seconds (RV(ignore:window_s)), the rows per table of the live database that are newer
      and their sum, the tables that could not be counted and why, and a summary sentence.
  returned: when restoring
  type: dict
tables:
  description: Rows of each table of the backup, counted in the restored database.
  returned: when restored
  type: dict
comparison:
  description:
    - Tables that only the backup or only the live database has, and tables with another number of rows.
    - Rows of a large live table are the server's estimate, told by C(exact=false).
  returned: when restored and the live database answers
  type: dict
verification:
  description: What was proved before the switch.
  returned: when restored
  type: dict
window_ms:
  description: Milliseconds during which connections to the live name were refused.
  returned: when switched
  type: float
undo:
  description: How exactly this change is taken back.
  returned: when switched
  type: dict
durations_s:
  description: Seconds each phase took.
  returned: when restored or failed
  type: dict
left_unchanged:
  description:
    - Whether the live database is what it was. Before the switch nothing touches it; from there on it was
      looked at.
    - What could not be removed beside it is told in RV(ignore:warnings).
  returned: on failure
  type: bool
error:
  description: What was tried, on what, what came back and what to do next.
  returned: on failure
  type: dict
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import (
    job,
    job_source,
    job_undo,
    untouched,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Undo or release at once; for a restore start the job and say where it is."""
    pg.require_psycopg2()
    chosen = params.get("backup") or {}
    if chosen.get("look"):
        return {"changed": False, "left_unchanged": untouched.proved(RestoreOptions.from_params(params))}
    about = {name: chosen[name] for name in ("key", "etag", "backup_at", "who") if name in chosen}
    options = RestoreOptions.from_params({**params, **about}, check_mode)
    if params["state"] == "undone":
        return job_undo.undo(options)
    if params["state"] == "released":
        return job_undo.release(options)
    made = job_source.maker(options, params["backup"])
    return {"changed": False, "job": job.detach(options, job.restoring(options, made))}


def argument_spec() -> Dict[str, Any]:
    """Return the options that the target needs: those of the bucket stay on the controller."""
    return {
        **pg.argument_spec(),
        "database": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["restored", "undone", "released"], "default": "restored"},
        "run": {"type": "str", "required": True},
        "checks": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"name": {"type": "str", "required": True}, "sql": {"type": "str", "required": True}},
        },
        "jobs": {"type": "int", "default": 2},
        "switch": {"type": "bool", "default": True},
        "in_place": {"type": "bool", "default": False},
        "confirm_in_place": {"type": "str", "default": ""},
        "force": {"type": "bool", "default": False},
        "container": {"type": "str", "default": ""},
        "container_engine": {"type": "str", "default": "docker"},
        "client_dir": {"type": "path", "default": ""},
        "stall_timeout": {"type": "float", "default": 30},
        "lease": {"type": "float", "default": 15},
        "timeout": {"type": "float", "default": 0},
        "allow_other_database": {"type": "bool", "default": False},
        "keep_failed": {"type": "bool", "default": False},
        "backup": {"type": "dict"},
    }


def main() -> None:
    """Validate, run, and exit."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        module.exit_json(**run(module.params, module.check_mode))
    except (OncallError, pg.Error) as caught:
        error = caught if isinstance(caught, OncallError) else job.database_error(caught)
        module.fail_json(msg=error.message, error=error.as_dict(), left_unchanged=not error.changed)


if __name__ == "__main__":
    main()
