# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which roles the runbooks of a system use, what these need, and what their templates name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import yaml

_COLLECTION = "oncall.runbooks."
_INCLUDES = ("ansible.builtin.import_role", "ansible.builtin.include_role")
# Names that Ansible or Jinja itself gives to every template.
_GIVEN = frozenset(
    {"now", "lookup", "query", "q", "undef", "omit", "hostvars", "groups", "inventory_hostname"}
)


@dataclass(frozen=True)
class Use:
    """One entry point of a role of the collection, as a playbook uses it; `folder` is the role's."""

    role: str
    entry_point: str
    folder: Path


@dataclass(frozen=True)
class Template:
    """A template: the variables in it that its role takes as options, and those that nothing sets."""

    role: str
    name: str
    variables: tuple[str, ...]
    unknown: tuple[str, ...]


def _role(root: Path, name: str) -> Path:
    return root / "collections" / "ansible_collections" / "oncall" / "runbooks" / "roles" / name


def uses(root: Path, runbooks: Iterable[str]) -> list[Use]:
    """Return the entry points that the playbooks of `runbooks` use, each once."""
    found: dict[tuple[str, str], Use] = {}
    for runbook in runbooks:
        for task in _mappings(_load(root / "playbooks" / f"{runbook.replace('-', '_')}.yml")):
            for key in _INCLUDES:
                asked = task.get(key)
                if not isinstance(asked, dict):
                    continue
                name = str(asked.get("name", ""))
                if name.startswith(_COLLECTION):
                    role, entry = name.removeprefix(_COLLECTION), str(asked.get("tasks_from", "main"))
                    found.setdefault((role, entry), Use(role, entry, _role(root, role)))
    return [found[key] for key in sorted(found)]


def given(root: Path, runbooks: Iterable[str]) -> set[str]:
    """Return the names that playbooks or operators give: parameters of a header, and variables of a task."""
    names: set[str] = set()
    for runbook in runbooks:
        for mapping in _mappings(_load(root / "playbooks" / f"{runbook.replace('-', '_')}.yml")):
            names |= {str(p["name"]) for p in mapping.get("parameters") or () if isinstance(p, dict)}
            names |= set(mapping["vars"]) if isinstance(mapping.get("vars"), dict) else set()
    return names


def required(use: Use) -> list[str]:
    """Return the options that an entry point needs and has no default for."""
    spec = _load(use.folder / "meta" / "argument_specs.yml")
    options = ((spec or {}).get("argument_specs") or {}).get(use.entry_point, {}).get("options") or {}
    defaults = _load(use.folder / "defaults" / "main.yml") or {}
    return sorted(name for name, option in options.items() if option.get("required") and name not in defaults)


def templates(listed: Iterable[Use]) -> Iterator[Template]:
    """Yield the templates of the roles that are used, each once."""
    for folder in sorted({use.folder for use in listed}):
        spec = (_load(folder / "meta" / "argument_specs.yml") or {}).get("argument_specs") or {}
        options = {name for entry in spec.values() for name in entry.get("options") or {}}
        known = options | set(_load(folder / "defaults" / "main.yml") or {})
        # What a task registers or sets is there when the template is used.
        text = "\n".join(p.read_text("utf-8") for p in sorted((folder / "tasks").glob("*.yml")))
        for path in sorted((folder / "templates").glob("**/*.j2")):
            names = _names(path)
            unknown = (n for n in names - known - _GIVEN if not re.search(rf"\b{re.escape(n)}\b", text))
            yield Template(folder.name, path.name, tuple(sorted(names & known)), tuple(sorted(unknown)))


def _names(path: Path) -> set[str]:
    """The variables of a template; of one that imports another, that one's macros are none."""
    parsed = jinja2.Environment(autoescape=True).parse(path.read_text("utf-8"))
    return set(jinja2.meta.find_undeclared_variables(parsed))


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _mappings(inner)


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
