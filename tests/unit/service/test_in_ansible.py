"""The modules as Ansible runs them: what the controller knows reaches neither the target nor any output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from .conftest import Supervised

ROOT = Path(__file__).resolve().parents[3]
CANARIES = {name: f"canary-{name}-0123456789" for name in ("header", "password", "admin", "secret")}


def tasks(supervised: Supervised) -> list[dict[str, Any]]:
    """Return one play's tasks: the role's measurement, URLs alone, and a plan with a secret in it."""
    url = f"http://127.0.0.1:{supervised.ports['api']}"
    header = {"Authorization": f"Bearer {CANARIES['header']}"}
    login = {"url": f"{url}/login", "body": {"password": CANARIES["password"]}}
    outside = [
        {"check": "canary_stream", "part": "stream", "url": f"{url}/stream", "headers": header},
        {"check": "login_round_trip", "part": "auth", "url": f"{url}/verify", "login": login},
    ]
    runtime = supervised.runtime()
    service = {"name": "web", "part": "stream", "runtime": runtime, "health": {"url": f"{url}/health"}}
    cdn = {"provider": "admin_api", "primary": "one", "attempts": 1, "timeout": 1.0}
    given = {
        "service_list": [service],
        "service_outside": outside,
        "service_cdn": {**cdn, "admin_api": {"url": url, "token": CANARIES["admin"]}},
        "service_private_dir": str(supervised.folder / "private"),
    }
    role = {"name": "oncall.runbooks.service", "tasks_from": "status"}
    settings = {
        "path": str(supervised.env_file),
        "secrets": {"AUTH_JWT_SECRET": CANARIES["secret"]},
        "consumers": [service],
        "private_dir": str(supervised.folder / "private"),
    }
    return [
        {"name": "Role", "ansible.builtin.include_role": role, "vars": given},
        {"name": "URLs", "oncall.runbooks.http_health": {"outside": outside}},
        {"name": "Plan", "oncall.runbooks.service_settings": settings, "check_mode": True, "diff": True},
    ]


def test_nothing_secret_is_in_any_output(supervised: Supervised, tmp_path: Path) -> None:
    supervised.says(
        "api", body={"status": "ok", "token": "canary-issued-token", "active": "one", "origins": []}
    )
    variables = {"ansible_python_interpreter": sys.executable, "ansible_remote_tmp": str(tmp_path / "remote")}
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks(supervised)}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    (tmp_path / "ansible.cfg").touch()
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "localhost,", "-c", "local", "-vvv", "play.yml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    for check in ("service_runtime", "canary_stream", "login_round_trip", "cdn_health", "settings_temporary"):
        assert f'"check": "{check}"' in said, check
    assert "(hidden, 39 characters)" in said
    assert not [name for name, value in CANARIES.items() if value in said]
    assert "canary-issued-token" not in said
    # What was sent to the target to be run there is still in its temporary folder.
    sent = [path.read_bytes() for path in (tmp_path / "remote").rglob("AnsiballZ_service_health.py")]
    # The module's own options can be read in it, so these could be, too.
    assert b"/health" in sent[0]
    hidden = [CANARIES[name].encode() for name in ("header", "password", "admin")]
    assert not [word for word in hidden for module in sent if word in module]
