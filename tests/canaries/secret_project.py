"""The tiny project with twenty secrets in it, each given and used in a way in which runbooks get theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.canaries.hunt import canary
from tests.cli.cli_under_test import Cli, tiny_project

BIN = Path(sys.executable).parent
UNASKED = ("other_token", "pgpassword", "aws_secret", "github_token", "runner_password")
"""In the operator's environment, but no business of the runbook."""
ASKED = ("asked_by_env",)
"""In the operator's environment and read by the inventory: in the environment of Ansible too."""
_PLAIN = (
    "group_password", "host_password", "become_password", "dsn_password", "private_key", "nested_token",
    "asked_by_file", "generated", "module_password", "module_body", "written", "extra_flat", "extra_nested",
)  # fmt: skip
_USED = (
    "group_password", "private_key", "generated", "nested", "asked_by_env", "asked_by_file", "vault_value",
    "ansible_password", "ansible_become_password", "tiny_extra", "tiny_deep",
)  # fmt: skip
_VAULT = ("vault_value", "vault_password")
NAMES = UNASKED + ASKED + _PLAIN + _VAULT
# What encoders change; a file with secrets may not hold a line end in them.
_TAIL = '/ü"&=% \\'

_STEPS = """
    - name: Use secrets, as a module with credentials does
      tiny_login: {secrets: "{{ all_secrets }}", dsn: "{{ tiny_dsn }}"}
      tags: [diagnose]
    - name: Fail to log in with them
      tiny_login: {secrets: "{{ all_secrets }}", dsn: "{{ tiny_dsn }}", refused: true}
      no_log: true
      ignore_errors: true
      tags: [recommend]
    - name: Remember them
      ansible.builtin.set_fact: {remembered: "{{ all_secrets }}"}
      no_log: true
      tags: [recommend]
    - name: Ask a server that is not there
      ansible.builtin.uri:
        url: http://127.0.0.1:1/
        url_username: tiny
        url_password: "{{ module_password }}"
        force_basic_auth: true
        body: "{{ module_body }}"
        timeout: 2
      no_log: true
      ignore_errors: true
      tags: [recommend]
    - name: Write a file of secrets
      tiny_file: {path: "{{ tiny_file }}.secret", says: "{{ written }}"}
      no_log: true
      when: run_gate.passed | default(false)
      tags: [mitigate, change]
"""


@dataclass
class SecretProject:
    """The project, its secrets by name, and the command line options that give the rest of them."""

    cli: Cli
    known: dict[str, str]
    files: list[str]


def make(folder: Path) -> SecretProject:
    """Lay the project out in `folder`."""
    cli = tiny_project(folder)
    known = {name: canary(_TAIL) for name in NAMES}
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    _into_environment(cli, known, keys)
    _into_inventory(cli, known, keys)
    _into_playbook(cli)
    given = {"tiny_extra": known["extra_flat"], "tiny_deep": {"list": [known["extra_nested"]]}}
    extra = keys / "extra.json"
    extra.write_text(json.dumps(given))
    return SecretProject(cli, known, ["-e", f"@{extra}"])


def _into_environment(cli: Cli, known: dict[str, str], keys: Path) -> None:
    names = ("OTHER_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SSH_PASSWORD")
    cli.env |= dict(zip(names, (known[name] for name in UNASKED), strict=True))
    cli.env["ASKED_SECRET"] = known["asked_by_env"]
    (keys / "vault").write_text(known["vault_password"])
    cli.env["ANSIBLE_VAULT_PASSWORD_FILE"] = str(keys / "vault")
    cli.env["HOME"] = str(cli.root / "home")
    (cli.root / "home").mkdir()


def _into_inventory(cli: Cli, known: dict[str, str], keys: Path) -> None:
    (keys / "token").write_text(known["asked_by_file"])
    vaulted = subprocess.run(
        [BIN / "ansible-vault", "encrypt_string", "--stdin-name", "vault_value"],
        input=known["vault_value"], env=cli.environment(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    own = ("group_password", "private_key", "generated", "module_password", "module_body", "written")
    variables = {name: known[name] for name in own} | {
        "ansible_become_password": known["become_password"],
        "ansible_password": known["host_password"],
        "nested": {"tokens": [{"value": known["nested_token"]}]},
        "tiny_dsn": f"postgresql://tiny:{quote(known['dsn_password'], safe='')}@127.0.0.1:1/tiny",
        "asked_by_env": "{{ lookup('env', 'ASKED_SECRET') }}",
        "asked_by_file": f"{{{{ lookup('file', '{keys / 'token'}') }}}}",
        "tiny_extra": "",
        "tiny_deep": {},
        "all_secrets": f"{{{{ [{', '.join(_USED)}] }}}}",
    }
    target = cli.project / "inventories" / "tiny" / "group_vars" / "all" / "secret.yml"
    # JSON is YAML; only a vaulted value needs a tag.
    target.write_text("---\n" + "".join(f"{k}: {json.dumps(v)}\n" for k, v in variables.items()) + vaulted)


def _into_playbook(cli: Cli) -> None:
    action = Path(__file__).parent / "tiny_login.py"
    (cli.project / "playbooks" / "action_plugins" / action.name).write_text(action.read_text())
    playbook = cli.project / "playbooks" / "file_failure.yml"
    text = playbook.read_text()
    before = "    - name: Recommend\n"
    steps = _STEPS.split("    - name: Write a file of secrets")
    written = "    - name: Write a file of secrets" + steps[1]
    text = text.replace(before, steps[0].lstrip("\n") + before, 1)
    mark = "    - name: Look whether the file says ok now\n"
    assert mark in text
    playbook.write_text(text.replace(mark, written + mark, 1))
