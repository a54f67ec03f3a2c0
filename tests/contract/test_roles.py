"""What every role promises: a specification per entry point, defaults that agree, tags that are true."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook.rehearsal.postgres_server import PostgresServer

_SPEC = importlib.util.spec_from_file_location("role_tables", Path(__file__).with_name("role_tables.py"))
assert _SPEC
assert _SPEC.loader
role_tables = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(role_tables)

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(role_tables.ROLES.iterdir())
ENTRY_POINTS = [(role, name) for role in ROLES for name in role_tables.specs(role)]
IMPORT = "ansible.builtin.import_tasks"
# What each module does to a system; a task of another module has to be added here, and thought about.
EFFECTS = {
    "oncall.runbooks.postgres_health": None,
    "oncall.runbooks.host_health": None,
    "oncall.runbooks.host_ready": None,
    "oncall.runbooks.service_health": None,
    "oncall.runbooks.backup_health": None,
    "oncall.runbooks.cdn_health": None,
    "oncall.runbooks.cdn_failover_info": None,
    "oncall.runbooks.billing_reconcile": None,
    "oncall.runbooks.audit_review": None,
    "oncall.runbooks.breach_duties": None,
    "oncall.runbooks.job_health": None,
    # It leaves a test message that is done, as a login leaves a session.
    "oncall.runbooks.job_probe": None,
    "oncall.runbooks.job_lock_release": "change",
    "oncall.runbooks.job_beat": "change",
    "oncall.runbooks.dead_letter_replay": "change",
    "oncall.runbooks.break_glass_health": None,
    "oncall.runbooks.break_glass_write": "change",
    "ansible.builtin.assert": None,
    "ansible.builtin.set_fact": None,
    "ansible.builtin.stat": None,
    # It copies to the controller.
    "ansible.builtin.fetch": None,
    "ansible.builtin.copy": "change",
    "ansible.builtin.file": "change",
    "ansible.builtin.template": "change",
    "oncall.runbooks.evidence_export": "change",
    "oncall.runbooks.password_reset": "change",
    "oncall.runbooks.cdn_failover": "change",
    "oncall.runbooks.secret_health": None,
    "oncall.runbooks.reclaim_health": None,
    "oncall.runbooks.volume_grow": "irreversible",
    "oncall.runbooks.filesystem_grow": "irreversible",
    "oncall.runbooks.secret_rotate": "change",
    "oncall.runbooks.service_restart": "change",
    "oncall.runbooks.redis_health": None,
    "oncall.runbooks.redis_configure": "change",
    "oncall.runbooks.redis_role": "change",
    "oncall.runbooks.redis_save": "change",
    "oncall.runbooks.redis_repair": "change",
    "oncall.runbooks.service_settings": "change",
    "oncall.runbooks.pg_backup_r2": "change",
    "oncall.runbooks.pg_restore_r2": "change",
    "oncall.runbooks.pg_restore_r2_info": None,
    "oncall.runbooks.token_revoke": "change",
    "oncall.runbooks.billing_activate": "change",
    "oncall.runbooks.webhook_endpoint": "change",
    "oncall.runbooks.webhook_resend": "irreversible",
    "oncall.runbooks.postgres_sessions": "irreversible",
    "oncall.runbooks.postgres_slot_drop": "irreversible",
    "oncall.runbooks.process_pause": "change",
    "oncall.runbooks.disk_reclaim": "irreversible",
    "oncall.runbooks.deploy_health": None,
    "oncall.runbooks.git_deploy": "change",
    "oncall.runbooks.git_deploy_info": None,
    "oncall.runbooks.migrations_upgrade": "irreversible",
}


def tasks(role: Path, name: str) -> list[dict[str, Any]]:
    """Return the tasks of one entry point, those of another that it imports in its place."""
    loaded: list[dict[str, Any]] = yaml.safe_load(text_of(role, name))
    named = [(task, task.get(IMPORT, "").removesuffix(".yml")) for task in loaded]
    return [found for task, other in named for found in (tasks(role, other) if other else [task])]


def text_of(role: Path, name: str) -> str:
    """Return what is written in the file of one entry point."""
    return (role / "tasks" / f"{name}.yml").read_text()


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_every_entry_point_has_a_specification_and_the_other_way_round(role: Path) -> None:
    assert {path.stem for path in (role / "tasks").glob("*.yml")} == set(role_tables.specs(role))


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_defaults_and_specifications_agree(role: Path) -> None:
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    said = {
        (name, about["default"] if isinstance(about["default"], str | int | float) else str(about["default"]))
        for spec in role_tables.specs(role).values()
        for name, about in spec["options"].items()
        if "default" in about
    }
    have = {(n, v if isinstance(v, str | int | float) else str(v)) for n, v in defaults.items()}
    assert have == said


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_the_readme_is_what_the_specification_says(role: Path) -> None:
    assert (role / "README.md").read_text() == role_tables.readme(role)


@pytest.mark.parametrize(("role", "name"), ENTRY_POINTS, ids=lambda v: getattr(v, "name", v))
def test_a_task_that_changes_something_says_so(role: Path, name: str) -> None:
    for task in tasks(role, name):
        (module,) = set(task) & set(EFFECTS)
        effect = "irreversible" if task[module].get("state") == "released" else EFFECTS[module]
        # A module that changes something may also be used to look only.
        effect = None if task.get("check_mode") is True or task.get("changed_when") is False else effect
        assert task.get("tags", []) == ([effect] if effect else [])


@pytest.mark.parametrize(("role", "name"), ENTRY_POINTS, ids=lambda v: getattr(v, "name", v))
def test_every_variable_is_specified_and_used(role: Path, name: str) -> None:
    text = text_of(role, name)
    text += "".join(
        text_of(role, other.removesuffix(".yml")) for other in re.findall(rf"{IMPORT}: (\S+)", text)
    )
    if "ansible.builtin.template" in text:
        text += "".join(path.read_text() for path in (role / "templates").glob("*.j2"))
    for option, about in role_tables.specs(role)[name]["options"].items():
        assert option in text, f"{option} is specified for {name} but not used"
        # A role's own name in front of each of its variables does not make them secrets.
        bare = option.removeprefix(f"{role.name}_")
        assert ("password" in bare or "secret" in bare) <= bool(about.get("no_log"))


def play(
    folder: Path, server: PostgresServer, entry_point: str, **extra: Any
) -> subprocess.CompletedProcess[str]:
    """Run one entry point of the role `postgres` against a real server through ansible-playbook."""
    variables = {
        "postgres_database": "postgres",
        "postgres_login_port": server.port,
        "postgres_login_user": server.superuser,
        "postgres_login_password": server.password,
        "postgres_runtime": {"kind": "process", "data_dir": str(server.data)},
        "postgres_log_path": str(server.log),
        "postgres_docker_root": "",
        "ansible_python_interpreter": sys.executable,
        **extra,
    }
    include = {"name": "oncall.runbooks.postgres", "tasks_from": entry_point}
    book = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": variables,
            "tasks": [{"name": "Include", "ansible.builtin.include_role": include}],
        }
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    config = folder / "ansible.cfg"
    config.touch()
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(config),
    }
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "localhost,",
        "-c",
        "local",
        "-v",
        "play.yml",
    ]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_status_and_verify_measure_a_real_server(postgres: PostgresServer, tmp_path: Path) -> None:
    done = play(tmp_path, postgres, "status")
    assert done.returncode == 0, done.stdout
    assert '"check": "postgres_answers"' in done.stdout
    assert postgres.password not in done.stdout + done.stderr


def test_verify_fails_when_a_table_is_missing(postgres: PostgresServer, tmp_path: Path) -> None:
    done = play(tmp_path, postgres, "verify", postgres_expected_tables=["public.subscribers"])
    assert done.returncode == 2
    assert "missing: public.subscribers" in done.stdout


def test_terminate_sessions_runs(postgres: PostgresServer, tmp_path: Path) -> None:
    done = play(tmp_path, postgres, "terminate_sessions")
    assert done.returncode == 0, done.stdout
