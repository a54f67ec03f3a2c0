"""What an inventory lacks is found in its files and in what the roles need; no value is ever told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runbook_engine import preflight, preflight_roles
from runbook_engine.preflight import Inventory, MissingError

ROLE = "collections/ansible_collections/oncall/runbooks/roles/door"
SECRET = "canary-preflight-7"
FILES = {
    "inventories/barn/hosts.yml": "all: {hosts: {front: }}\n",
    "inventories/barn/group_vars/all/door.yml": (
        "door_key: \"{{ lookup('env', 'BARN_KEY') | default(vault_barn_key, true) }}\"\n"
        "door_bell: \"{{ vault_barn_bell | default('') }}\"\n"
        "door_letter: {to: '', from: barn}\n"
    ),
    "inventories/barn/vault.example.yml.txt": 'vault_barn_key: ""\nvault_barn_bell: ""\n',
    "playbooks/door_stuck.yml": (
        "- hosts: localhost\n"
        "  vars:\n"
        "    runbook:\n"
        "      mitigations:\n"
        "        - {name: oil, parameters: [{name: door_drops, type: int}]}\n"
        "- hosts: all\n"
        "  tasks:\n"
        "    - block:\n"
        "        - ansible.builtin.include_role: {name: oncall.runbooks.door, tasks_from: oil}\n"
        "          vars: {door_run: x}\n"
        "    - ansible.builtin.import_role: {name: run, tasks_from: close}\n"
    ),
    f"{ROLE}/meta/argument_specs.yml": (
        "argument_specs:\n"
        "  oil:\n"
        "    options:\n"
        "      door_width: {required: true}\n"
        "      door_drops: {required: true}\n"
        "      door_run: {required: true}\n"
        "      door_brand: {required: true}\n"
        "      door_letter: {type: dict}\n"
        "  replace:\n"
        "    options:\n"
        "      door_frame: {required: true}\n"
    ),
    f"{ROLE}/defaults/main.yml": "door_brand: thin\n",
    f"{ROLE}/tasks/oil.yml": "- debug:\n  register: door_oiled\n",
    f"{ROLE}/templates/letter.md.j2": "To {{ door_letter.to }}: {{ door_oiled }}\n",
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of a door."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


GOOD: dict[str, Any] = {
    "door_key": SECRET,
    "door_bell": SECRET,
    "door_letter": {"to": "the sheriff", "from": "barn"},
    "door_width": 90,
}


def _value(values: dict[str, Any]) -> Callable[[str], Any]:
    def value(name: str) -> Any:
        if isinstance(values.get(name), MissingError):
            raise values[name]
        if name not in values:
            raise MissingError("nothing sets it")
        return values[name]

    return value


def _looked(root: Path, **changed: Any) -> list[tuple[str, str, str]]:
    values = {k: v for k, v in (GOOD | changed).items() if v is not None}
    inventory, runbooks = Inventory.read(root / "inventories" / "barn"), ["door-stuck"]
    used = preflight_roles.uses(root, runbooks)
    found = [
        *preflight.variables(inventory, _value(values), used, preflight_roles.given(root, runbooks)),
        *preflight.secrets(inventory, _value(values)),
        *preflight.messages(used, _value(values)),
    ]
    assert SECRET not in str(found)
    return [(one["check"], one["status"], one["summary"]) for one in found]


def _bad(found: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [one for one in found if one[1] == "fail"]


def test_where_nothing_is_missing_each_check_says_so_with_its_number(root: Path) -> None:
    assert _looked(root) == [
        ("variables", "ok", "All 3 variables and the 1 that roles need have a value."),
        ("secrets", "ok", "2 of 2 secrets are set."),
        ("messages", "ok", "All fields of 1 templates of messages are filled in."),
    ]


def test_what_a_role_needs_and_nobody_gives_is_named_with_who_needs_it(root: Path) -> None:
    bad = _bad(_looked(root, door_width=None))
    assert bad == [("variables", "fail", "door_width is not set: role door needs it (oil)")]


def test_a_variable_that_says_itself_why_it_is_missing_is_heard(root: Path) -> None:
    bad = [
        one
        for one in _looked(root, door_key=MissingError("put vault_barn_key into vault.yml"))
        if one[1] == "fail"
    ]
    assert bad == [
        ("variables", "fail", "door_key is not set: put vault_barn_key into vault.yml"),
        (
            "secrets",
            "fail",
            "vault_barn_key is not set (nor BARN_KEY in the environment); door_key is made of it.",
        ),
    ]


def test_a_secret_that_something_can_do_without_is_a_warning(root: Path) -> None:
    found = _looked(root, door_bell="")
    assert ("secrets", "warn", "vault_barn_bell is not set; door_bell is made of it.") in found
    assert ("secrets", "ok", "1 of 2 secrets are set.") in found


def test_a_vault_in_plain_text_is_a_failure_and_an_encrypted_one_is_not_read(root: Path) -> None:
    vault = root / "inventories/barn/group_vars/all/vault.yml"
    vault.write_text(f"vault_barn_key: {SECRET}\n")
    assert any("is not encrypted: ansible-vault encrypt" in said for _check, _status, said in _looked(root))
    vault.write_text("$ANSIBLE_VAULT;1.1;AES256\n3030\n")
    assert all(status == "ok" for _check, status, _said in _looked(root))


def test_a_field_of_a_message_that_nobody_filled_in_is_a_warning(root: Path) -> None:
    found = _looked(root, door_letter={"to": "", "from": "barn"})
    assert ("messages", "warn", "letter.md.j2 of role door uses door_letter.to, which is empty.") in found


def test_a_message_that_names_what_nothing_sets_is_a_failure(root: Path) -> None:
    template = root / ROLE / "templates/letter.md.j2"
    template.write_text(template.read_text() + "{{ door_leter }}\n")
    assert ("messages", "fail", "letter.md.j2 of role door uses door_leter, which nothing sets.") in _looked(
        root
    )


def test_the_roles_that_ship_use_nothing_that_nothing_sets() -> None:
    root = Path(__file__).resolve().parents[3]
    runbooks = [path.stem for path in (root / "playbooks").glob("*.yml")]
    used = preflight_roles.uses(root, runbooks)
    assert len(used) > 20
    assert [t for t in preflight_roles.templates(used) if t.unknown] == []
