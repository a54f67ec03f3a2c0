"""The roles take a restore back by what its result says, and nothing else: beside and in place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from restoring import PATTERN, Restoring

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Restore
      ansible.builtin.include_role:
        name: oncall.runbooks.postgres
        tasks_from: restore
    - name: Look before it is taken back
      ansible.builtin.copy:
        content: "{{ postgres_restored.undo | to_json }}"
        dest: "{{ playbook_dir }}/undo.json"
        mode: "0600"
    - name: Take it back as its result says
      ansible.builtin.include_role:
        name: "{{ postgres_restored.undo.role }}"
        tasks_from: "{{ postgres_restored.undo.entry_point }}"
      vars:
        postgres_undo: "{{ postgres_restored.undo.args }}"
"""


def play(restoring: Restoring, **more: Any) -> None:
    server, s3 = restoring.server, restoring.s3
    variables = {
        "postgres_database": restoring.database,
        "postgres_login_port": server.port,
        "postgres_login_user": server.superuser,
        "postgres_login_password": server.password,
        "postgres_client_dir": str(server.binaries.bin_dir),
        "postgres_runtime": {"kind": "process", "data_dir": str(server.data)},
        "backup_endpoint_url": s3.endpoint,
        "backup_bucket": restoring.bucket,
        "backup_prefix": "daily/",
        "backup_pattern": PATTERN,
        "backup_access_key": s3.access_key,
        "backup_secret_key": s3.secret_key,
        **more,
    }
    files = {"roles.yml": PLAY, "roles.json": json.dumps(variables)}
    files["hosts.json"] = json.dumps({"all": {"hosts": {"target": restoring.host}}})
    for name, content in files.items():
        (restoring.folder / name).write_text(content)
    program = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(
        [program, "-i", "hosts.json", "roles.yml", "-e", "@roles.json"],
        env={**restoring.environment(), "ONCALL_RUN_ID": "role-run"},
        cwd=restoring.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert s3.secret_key not in done.stdout + done.stderr
    assert server.password not in done.stdout + done.stderr


@pytest.mark.parametrize("how", ["beside", "in place"])
def test_restored_and_taken_back_through_the_role(restoring: Restoring, how: str) -> None:
    good = restoring.digest()
    restoring.backup()
    restoring.fill("DELETE FROM orders; CREATE TABLE newer AS SELECT 1 AS one")
    damaged = restoring.digest()
    name = restoring.database
    sure: dict[str, Any] = {}
    if how == "in place":
        sure = {"postgres_restore_in_place": True, "postgres_restore_confirm_in_place": name}
    play(restoring, **sure)
    undo = json.loads((restoring.folder / "undo.json").read_text())
    assert undo["args"]["run"] == "role-run"
    assert ("key" in undo["args"]) == bool(sure)
    assert restoring.digest() == damaged
    restored = restoring.others()
    assert [restoring.digest(other) for other in restored if "_after_" in other] == ([] if sure else [good])
