"""The role `tokens` through ansible-playbook: count, revoke, verify, undo, as a runbook does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from owl_tokens import ACTIVE, API, Owl

from runbook.rehearsal.postgres_server import available_binaries

ROOT = Path(__file__).resolve().parents[3]


def play(folder: Path, owl: Owl, *entry_points: str, **extra: Any) -> subprocess.CompletedProcess[str]:
    """Include the entry points one after the other, and what the last one returned as undo."""
    variables = {
        "postgres_database": owl.database,
        "postgres_login_port": owl.server.port,
        "postgres_login_user": owl.server.superuser,
        "postgres_login_password": owl.server.password,
        "ansible_python_interpreter": sys.executable,
        "tokens_tables": [API],
        **extra,
    }
    tasks: list[dict[str, Any]] = [
        {
            "name": entry_point,
            "ansible.builtin.include_role": {"name": "oncall.runbooks.tokens", "tasks_from": entry_point},
            "vars": {"tokens_undo": "{{ tokens_revoked.undo.args }}"} if entry_point == "undo" else {},
        }
        for entry_point in entry_points
    ]
    book = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    (folder / "ansible.cfg").touch()
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ONCALL_RUN_ID": "20261121t064300z-7f3a9c",
    }
    playbook = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [playbook, "-i", "localhost,", "-c", "local", "-v", "--diff", "play.yml"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _one_server_is_enough(owl: Owl) -> None:
    if owl.server.binaries.label != available_binaries()[0].label:
        pytest.skip("what Ansible does is the same on every server")


def test_a_breach_from_the_count_to_the_undo(owl: Owl, tmp_path: Path) -> None:
    before = owl.state()
    done = play(tmp_path, owl, "status", "revoke", "verify", "undo", tokens_subscribers={})
    assert done.returncode == 0, done.stdout
    assert "public.api_tokens: 240 tokens active (all tokens)." in done.stdout
    assert "-public.api_tokens: 240 active, 60 revoked" in done.stdout
    assert "breach 20261121t064300z-7f3a9c" in done.stdout
    assert owl.state() == before
    assert owl.sql("SELECT state FROM oncall.token_run") == [("restored",)]
    assert owl.server.password not in done.stdout + done.stderr


@pytest.mark.slow
def test_verify_fails_while_a_token_is_active(owl: Owl, tmp_path: Path) -> None:
    done = play(tmp_path, owl, "verify", tokens_scope="subscriber", tokens_subscriber="2")
    assert done.returncode == 2
    assert "Not verified: public.api_tokens: 15 tokens active (tokens of subscriber 2)" in done.stdout
    assert owl.sql(ACTIVE) == [(240,)]
