# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Python files of a project that a plugin or module stands on: its imports, followed to their ends."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from runbook_engine.project_files import Project

_PACKAGE = "ansible_collections.oncall.runbooks.plugins"
_ENGINE = "runbook_engine"
# Names in texts: a module that is loaded by its full name, one that an action plugin executes, and the
# fragments that a module's documentation is made of, which action plugins read their options from.
_LOADED = re.compile(rf"{re.escape(_PACKAGE)}(?:\.\w+)+")
_EXECUTED = re.compile(r"oncall\.runbooks\.(\w+)")
_FRAGMENTS = "extends_documentation_fragment"


def collection_folder(project: Project) -> Path:
    """Return the folder of the plugins of the project's collection."""
    return project.root / "collections" / "ansible_collections" / "oncall" / "runbooks" / "plugins"


def closure(project: Project, files: Iterable[Path]) -> set[Path]:
    """Return `files` and every file of the project that they import, directly or not."""
    found: set[Path] = set()
    left = [path.resolve() for path in files]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += [other.resolve() for other in _needs(project, path)]
    return found


def _needs(project: Project, path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(project, alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                # What is imported may be a module or a name in one.
                yield from _modules(project, f"{node.module}.{alias.name}")
        elif isinstance(node, ast.ImportFrom):
            yield from _beside(path, node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _named(project, node.value)


def _modules(project: Project, name: str) -> Iterator[Path]:
    """The files of a dotted name and of the packages around it."""
    for package, base in (
        (_PACKAGE, collection_folder(project)),
        (_ENGINE, project.root / "plugins" / _ENGINE),
    ):
        if name == package or name.startswith(f"{package}."):
            yield from _files(base, name[len(package) :].split(".")[1:])


def _files(base: Path, parts: list[str]) -> Iterator[Path]:
    for part in ["", *parts]:
        base = base / part
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                yield path


def _beside(path: Path, node: ast.ImportFrom) -> Iterator[Path]:
    base = path.parents[node.level - 1]
    for alias in node.names:
        yield from _files(
            base, [*(node.module or "").split("."), alias.name] if node.module else [alias.name]
        )


def _named(project: Project, text: str) -> Iterator[Path]:
    if _LOADED.fullmatch(text):
        yield from _modules(project, text)
    folder = collection_folder(project)
    executed = _EXECUTED.fullmatch(text)
    if executed:
        made = [folder / "modules" / f"{executed[1]}.py"]
    elif _FRAGMENTS in text:
        made = [folder / "doc_fragments" / f"{name}.py" for name in _EXECUTED.findall(text)]
    else:
        made = []
    yield from (path for path in made if path.is_file())
