#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of pg_backup_r2 that runs on the target; the action plugin of the same name drives it."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: pg_backup_r2
short_description: Back a PostgreSQL database up into an S3 bucket, read back and verified
version_added: 0.1.0
description:
  - Streams what C(pg_dump) writes into the bucket, in its custom format, under a name that a restore finds.
  - Then reads the whole object back from the bucket, and compares its checksum. The end of the dump has to be there, and every row
    before it. Only then a file with the checksum is put beside it, and it counts as made.
  - Nothing is staged on a disk, so it works on one that is full. Nothing is ever written over an object that exists.
  - What a run that was killed had uploaded and not read back is proved by the run that goes on, see O(take_up).
  - Whatever fails, nothing of it stays in the bucket. The bucket's credentials stay on the controller; the target only ever gets
    URLs that expire.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.postgres.client
  - oncall.runbooks.s3
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Looks at bucket, server and pg_dump, writes nothing, and says which backup it would make.
  idempotent:
    details: A backup that the same O(run) has made is not made again, and one that is gone is not removed again.
options:
  database:
    description: The database, by the name its clients use.
    type: str
    required: true
  state:
    description:
      - V(made) makes a backup.
      - V(removed) deletes exactly the object O(key) that O(run) made, as long as another good backup is there.
    type: str
    choices: [made, removed]
    default: made
  run:
    description:
      - Says who made a backup; it is kept with the object.
      - Default is E(ONCALL_RUN_ID) of the controller, else a new id.
    type: str
    default: ""
  name:
    description:
      - Name of a new backup, below the folder of O(prefix), with C({timestamp}) where its time goes. Required to make one.
      - It has to match O(pattern), and should end in C(.dump).
    type: str
    default: ""
  key:
    description: The object to remove, as RV(undo) of its making says. Required to remove one.
    type: str
    default: ""
  etag:
    description: ETag that the object has to have to be removed. Required to remove one.
    type: str
    default: ""
  take_up:
    description:
      - RV(outcome) of a run that was killed says as C(backup) what it had uploaded and not read back. Then this is read back and
        sealed, and no other is made.
      - It is removed when its end or a part of it is missing. It is ignored when it is sealed, gone, or another object by now.
    type: dict
  lock_wait:
    description: Seconds to wait for a table that somebody has locked, before the backup is given up.
    type: int
    default: 30
  url_expiry:
    description: Seconds that a URL given to the target is valid; it is renewed as long as the backup runs.
    type: int
    default: 900
  stall_timeout:
    description: Seconds without a byte from the store after which a request is begun anew.
    type: float
    default: 30
  lease:
    description: Seconds the backup lives on when its controller is gone, before it ends.
    type: float
    default: 15
  timeout:
    description: Seconds the whole backup may take; V(0) means no limit.
    type: float
    default: 0
seealso:
  - module: oncall.runbooks.backup_health
  - module: oncall.runbooks.pg_restore_r2
"""

EXAMPLES = r"""
- name: Take a backup now
  oncall.runbooks.pg_backup_r2:
    database: roost_prod
    endpoint_url: "{{ backup_endpoint_url }}"
    bucket: roost-backups
    prefix: postgres/
    pattern: 'roost_(?P<timestamp>\d{8}T\d{6}Z)\.(sql\.gz|dump)'
    name: "roost_{timestamp}.dump"
    access_key: "{{ backup_access_key }}"
    secret_key: "{{ backup_secret_key }}"

- name: Take it back
  oncall.runbooks.pg_backup_r2:
    state: removed
    database: roost_prod
    bucket: roost-backups
    prefix: postgres/
    pattern: 'roost_(?P<timestamp>\d{8}T\d{6}Z)\.(sql\.gz|dump)'
    run: 20261121t064300z-7f3a9c
    key: postgres/roost_20261121T064302Z.dump
    etag: 0b3c5a3f6f9d4f3b9a8c7d6e5f4a3b2c-7
"""

RETURN = r"""
backup:
  description: The object that was made, with its size in bytes, its rows, and its SHA-256 as it was read back from the bucket.
  returned: when made
  type: dict
  sample:
    key: postgres/roost_20261121T064302Z.dump
    size: 213112004
    sha256: "9f86…"
    rows: 1200345
    etag: 0b3c5a3f6f9d4f3b9a8c7d6e5f4a3b2c-7
prediction:
  description: What happens, and the size of the database in bytes.
  returned: always
  type: dict
outcome:
  description:
    - What RV(ignore:run) has done, for whoever asks in check mode.
    - C(state) is C(done), C(not_done), or C(unproved) when C(backup) is in the bucket and was not read back.
  returned: when making, in check mode
  type: dict
undo:
  description: How exactly this backup is taken back.
  returned: when made
  type: dict
duration_s:
  description: Seconds that it took.
  returned: when made
  type: float
left_unchanged:
  description: Whether the bucket is what it was.
  returned: on failure
  type: bool
error:
  description: What was tried, on what, what came back and what to do next.
  returned: on failure
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import job, job_backup
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Say what a backup would be of; outside of check mode start the job that makes it, and say where it is."""
    pg.require_psycopg2()
    options = RestoreOptions.from_params(params, check_mode)
    result: Dict[str, Any] = {"changed": False, "foreseen": job_backup.foresee(options)}
    if not check_mode:
        result["job"] = job.detach(
            options, job_backup.backing_up(options, params["lock_wait"], params["take_up"] or {})
        )
    return result


def argument_spec() -> Dict[str, Any]:
    """Return the options that the target needs: those of the bucket stay on the controller."""
    return {
        **pg.argument_spec(),
        "database": {"type": "str", "required": True},
        "run": {"type": "str", "required": True},
        "take_up": {"type": "dict"},
        "lock_wait": {"type": "int", "default": 30},
        "container": {"type": "str", "default": ""},
        "container_engine": {"type": "str", "default": "docker"},
        "client_dir": {"type": "path", "default": ""},
        "stall_timeout": {"type": "float", "default": 30},
        "lease": {"type": "float", "default": 15},
        "timeout": {"type": "float", "default": 0},
    }


def main() -> None:
    """Validate, run, and exit."""
    run_module(argument_spec(), run, proves_unchanged=True)


if __name__ == "__main__":
    main()
