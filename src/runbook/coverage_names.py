# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether what a step says to be carried by is really there: playbooks, roles, modules, values, plugins."""

from __future__ import annotations

import ast
import difflib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runbook.catalog_systems import System
from runbook.catalog_yaml import Reader
from runbook.coverage_tasks import collection_of, role_folder
from runbook.project import Project

# What is read of a file is kept: one command looks into the same files for many steps, and ends.
_PLUGINS = "ansible_collections.oncall.runbooks.plugins."


@dataclass(frozen=True)
class Wrong:
    """Why a name stands for nothing, and what to do."""

    problem: str
    next_step: str


def near(given: str, valid: Iterable[str]) -> str:
    """Return a question with the nearest valid name, "" when none is near."""
    found = difflib.get_close_matches(given, sorted(valid), n=1, cutoff=0.6)
    return f"did you mean {found[0]!r}?" if found else ""


class Carriers:
    """Looks up what `carried_by` names, for one system of a project."""

    def __init__(self, project: Project, system: System) -> None:
        self._project, self._system = project, system
        self._modules = collection_of(project) / "plugins" / "modules"

    def wrong(self, text: str) -> Wrong | None:
        """Return why `text` names nothing that exists, None when it does."""
        first, _, rest = text.partition(" ")
        for prefix, look in (
            ("playbooks/", self._playbook),
            ("inventories/", self._inventory),
            ("plugins/", self._plugin),
        ):
            if first.startswith(prefix):
                return look(first, rest)
        if (self._modules / f"{first}.py").is_file():
            return self._module(first, rest)
        folder = role_folder(self._project, first)
        if folder is None:
            there = [path.stem for path in self._modules.glob("*.py")]
            return Wrong("no module, role or file has that name", near(first, there) or "correct the name")
        entries = [path.stem for path in (folder / "tasks").glob("*.yml")]
        if rest in entries:
            return None
        what = f"role {first} has no entry point {rest!r}" if rest else "a role alone says too little"
        return Wrong(what, near(rest, entries) or f"name one of {', '.join(sorted(entries))}")

    def carries(self, text: str) -> str:
        """Return the entry point (`role entry`, or a playbook) that `text` stands for; itself for others."""
        file, word, name = [*text.split(" ", 2), "", ""][:3]
        if word != "mitigation":
            return text
        for mitigation in _header(self._project.root / file).get("mitigations", []):
            if mitigation.get("name") == name:
                return str(mitigation.get("entry_point", "")).rpartition(".")[2].replace("/", " ")
        return text

    def _playbook(self, file: str, rest: str) -> Wrong | None:
        path = self._project.root / file
        header = _header(path)
        if not header:
            return Wrong("there is no such playbook with a header", self._near_file(path))
        if header.get("name") not in self._system.runbooks and not header.get("triages"):
            return Wrong(f"{self._system.name} does not declare this runbook", "name one that it declares")
        if not rest:
            return None
        word, _, name = rest.partition(" ")
        if word == "mitigation":
            names = [mitigation.get("name") for mitigation in header.get("mitigations", [])]
            return None if name in names else Wrong(f"it has no mitigation {name!r}", _one_of(name, names))
        there = header.get(rest)
        return None if there else Wrong(f"its header has no {rest!r}", _one_of(rest, list(header)))

    def _inventory(self, file: str, rest: str) -> Wrong | None:
        path = self._project.root / file
        if not path.is_file() or self._system.folder not in path.parents:
            return Wrong(f"no such file is in the inventory of {self._system.name}", self._near_file(path))
        value: Any = Reader(path).value
        for step in rest.split(".") if rest else []:
            inside = _inside(value)
            if inside.get(step) is None:
                return Wrong(f"it sets no {step!r}", _one_of(step, list(inside)))
            value = inside[step]
        return None

    def _plugin(self, file: str, rest: str) -> Wrong | None:
        path = self._project.root / file
        if not path.is_file():
            return Wrong("there is no such file", self._near_file(path))
        if not rest or rest in _names(path):
            return None
        return Wrong(f"nothing in it is called {rest!r}", near(rest, _names(path)) or "correct the name")

    def _module(self, module: str, rest: str) -> Wrong | None:
        if not rest or rest in self._documented(module) or rest in self._emitted(module):
            return None
        hint = near(rest, self._documented(module)) or f"see docs/modules/{module}.md"
        return Wrong(f"module {module} neither documents nor emits {rest!r}", hint)

    def _documented(self, module: str) -> frozenset[str]:
        """Options and return values, also nested ones and those of documentation fragments."""
        plugins = collection_of(self._project) / "plugins"
        doc = _document(plugins / "modules" / f"{module}.py", "DOCUMENTATION")
        fragments = doc.get("extends_documentation_fragment") or []
        named = set(_keys(doc.get("options"), "suboptions"))
        for fragment in [fragments] if isinstance(fragments, str) else fragments:
            path = plugins / "doc_fragments" / f"{fragment.rpartition('.')[2]}.py"
            named |= set(_keys(_document(path, "DOCUMENTATION").get("options"), "suboptions"))
        named |= set(_keys(_document(plugins / "modules" / f"{module}.py", "RETURN"), "contains"))
        return frozenset(named)

    def _emitted(self, module: str) -> frozenset[str]:
        """Names in the code of a module, its action plugin and what of the collection these import."""
        plugins = collection_of(self._project) / "plugins"
        both = [plugins / kind / f"{module}.py" for kind in ("modules", "action")]
        left = [path for path in both if path.is_file()]
        seen: set[Path] = set()
        while left:
            path = left.pop()
            if path not in seen:
                seen.add(path)
                left += _imported(path, plugins)
        return frozenset().union(*(_names(path) for path in seen))

    def _near_file(self, path: Path) -> str:
        there = [p.relative_to(self._project.root).as_posix() for p in path.parent.glob("*") if p.is_file()]
        return near(path.relative_to(self._project.root).as_posix(), there) or "name an existing file"


def _inside(value: Any) -> dict[str, Any]:
    """What a value holds, by name; an entry of a list has as names the texts that it holds itself."""
    if isinstance(value, dict):
        return value
    entries = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return {text: entry for entry in entries for text in entry.values() if isinstance(text, str)}


def _one_of(given: str, names: list[Any]) -> str:
    listed = [str(name) for name in names]
    return near(given, listed) or f"name one of {', '.join(listed) or 'what it has: nothing'}"


def _header(path: Path) -> dict[str, Any]:
    """The header of a runbook, {} when the file is none."""
    if not path.is_file() or path.suffix != ".yml":
        return {}
    plays = _loaded(path)
    play = plays[0] if isinstance(plays, list) and plays and isinstance(plays[0], dict) else {}
    header = (play.get("vars") or {}).get("runbook")
    return header if isinstance(header, dict) else {}


@functools.cache
def _loaded(path: Path) -> Any:
    return Reader(path).value


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def _names(path: Path) -> frozenset[str]:
    """What a Python file defines, and every text in it that could be a name."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return frozenset(found)


@functools.cache
def _imported(path: Path, plugins: Path) -> tuple[Path, ...]:
    """The files of the collection that a Python file imports, also inside its functions."""
    found = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PLUGINS):
            where = plugins.joinpath(*str(node.module).removeprefix(_PLUGINS).split("."))
            found += [where.with_suffix(".py"), *(where / f"{alias.name}.py" for alias in node.names)]
    return tuple(file for file in found if file.is_file())


@functools.cache
def _document(path: Path, name: str) -> dict[str, Any]:
    """The YAML text that a Python file assigns to `name`, {} when it has none."""
    for node in _tree(path).body if path.is_file() else ():
        named = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.Assign) and isinstance(named, ast.Name) and named.id == name:
            return yaml.load(ast.literal_eval(node.value), Loader=_SAFE) or {}  # noqa: S506 - a safe loader
    return {}


_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _keys(options: Any, nested: str) -> Iterator[str]:
    for name, value in options.items() if isinstance(options, dict) else ():
        yield str(name)
        if isinstance(value, dict):
            yield from _keys(value.get(nested), nested)
