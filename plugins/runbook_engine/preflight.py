# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an inventory still lacks, asked before anybody needs it: variables, secrets, fields of messages.

Which ones is read from the inventory, the playbooks and the roles that they use. Values are looked at and
never told: of a secret only whether it is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from runbook_engine.preflight_roles import Use, required, templates
from runbook_engine.project_files import is_encrypted

_VAULT_EXAMPLE = "vault.example.yml.txt"
_ENVIRONMENT = re.compile(r"lookup\(\s*['\"]env['\"]\s*,\s*['\"](\w+)['\"]")
_YAML = (".yml", ".yaml")
Finding = dict[str, Any]


class MissingError(Exception):
    """A variable has no value; the text says why, and holds no value of another."""


Value = Callable[[str], Any]
"""Returns the value of a variable as a task sees it, or raises MissingError."""


@dataclass(frozen=True)
class Inventory:
    """The variables that the files of an inventory set, as they are written there, and where."""

    folder: Path
    written: dict[str, str] = field(default_factory=dict)
    plain_vaults: list[Path] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Inventory:
        """Read the files of variables below `folder`; of one that cannot be read Ansible itself complains."""
        made = cls(folder)
        for path in sorted(p for p in folder.rglob("*") if p.suffix in _YAML and p.parent != folder):
            if is_encrypted(path):
                continue
            if path.stem == "vault":
                made.plain_vaults.append(path)
            for name, value in _mapping(path).items():
                made.written[str(name)] = json.dumps(value, default=str)
        return made

    @property
    def secrets(self) -> list[str]:
        """Names of the secrets that the system wants, as its example of a vault lists them."""
        return sorted(str(name) for name in _mapping(self.folder / _VAULT_EXAMPLE))

    def users(self, name: str) -> list[str]:
        """Variables of this inventory that are made of `name`."""
        word = re.compile(rf"\b{re.escape(name)}\b")
        return sorted(variable for variable, text in self.written.items() if word.search(text))


def variables(
    inventory: Inventory, value: Value, uses: Iterable[Use], given: Iterable[str]
) -> Iterator[Finding]:
    """Yield what is not set although something needs it; `given`: what an operator gives with a run."""
    missing: dict[str, str] = {}
    for name in sorted(inventory.written):
        try:
            value(name)
        except MissingError as error:
            missing[name] = str(error)
    handed = set(given)
    asked = {name: use for use in uses for name in required(use) if name not in handed}
    for name, use in sorted(asked.items()):
        if name in missing:
            continue
        try:
            value(name)
        except MissingError:
            missing[name] = f"role {use.role} needs it ({use.entry_point})"
    for name, why in missing.items():
        yield _finding("variables", "fail", f"{name} is not set: {why}", {"variable": name})
    if not missing:
        text = f"All {len(inventory.written)} variables and the {len(asked)} that roles need have a value."
        yield _finding("variables", "ok", text)


def secrets(inventory: Inventory, value: Value) -> Iterator[Finding]:
    """Yield which secrets are missing; of those that are there, only their number."""
    there = 0
    for name in inventory.secrets:
        users = inventory.users(name)
        if any(_has(value, user) for user in users or [name]):
            there += 1
            continue
        from_environment = sorted(
            {e for user in users for e in _ENVIRONMENT.findall(inventory.written[user])}
        )
        other = f" (nor {', '.join(from_environment)} in the environment)" if from_environment else ""
        needed = f"{', '.join(users)} is made of it" if users else "no variable is made of it"
        status = "fail" if any(_fails(value, user) for user in users) else "warn"
        text = f"{name} is not set{other}; {needed}."
        yield _finding("secrets", status, text, {"secret": name, "users": users})
    for path in inventory.plain_vaults:
        text = f"{path.name} in {path.parent} is not encrypted: ansible-vault encrypt {path}"
        yield _finding("secrets", "fail", text, {"file": str(path)})
    if there:
        yield _finding("secrets", "ok", f"{there} of {len(inventory.secrets)} secrets are set.")


def messages(uses: Iterable[Use], value: Value) -> Iterator[Finding]:
    """Yield the fields of messages that nobody has filled in, and those that nothing sets."""
    problems, seen = [], 0
    for template in templates(uses):
        seen, where = seen + 1, f"{template.name} of role {template.role}"
        problems += [("fail", f"{where} uses {name}, which nothing sets.") for name in template.unknown]
        problems += [
            ("warn", f"{where} uses {empty}, which is empty.")
            for name in template.variables
            for empty in _empty(name, _value_or_none(value, name))
        ]
    for status, text in dict.fromkeys(problems):
        yield _finding("messages", status, text)
    if seen and not problems:
        yield _finding("messages", "ok", f"All fields of {seen} templates of messages are filled in.")


def _empty(name: str, value: Any) -> Iterator[str]:
    """The leaves of a mapping that are empty texts; a plain variable may rightly be empty for a while."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if inner == "":
                yield f"{name}.{key}"
            yield from _empty(f"{name}.{key}", inner)


def _value_or_none(value: Value, name: str) -> Any:
    try:
        return value(name)
    except MissingError:
        return None


def _has(value: Value, name: str) -> bool:
    return _value_or_none(value, name) not in (None, "")


def _fails(value: Value, name: str) -> bool:
    try:
        value(name)
    except MissingError:
        return True
    return False


def _mapping(path: Path) -> dict[Any, Any]:
    try:
        loaded = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads files that hold single encrypted values, too."""


_Loader.add_constructor("!vault", lambda _loader, _node: "(encrypted)")


def _finding(check: str, status: str, summary: str, observed: Any = None) -> Finding:
    return {
        "check": check, "host": "", "status": status, "observed": observed, "expected": None,
        "summary": summary,
    }  # fmt: skip
