# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Python files of a project that a plugin or module stands on: its imports, followed to their ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from runbook_engine.project_files import Project

_PACKAGE = "ansible_collections.oncall.runbooks.plugins"
_ENGINE = "runbook_engine"
# To parse the files of one rehearsal takes a second. This finds a line too many in a text that looks like
# code, and none too few in code that is formatted as ours is: a test holds it against the parser.
_FROM = re.compile(r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)", re.M)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([^\n#]+)", re.M)
_NAME = re.compile(r"[\w.]+")
# Names in texts: a module that is loaded by its full name, one that an action plugin executes, and the
# fragments that a module's documentation is made of, which action plugins read their options from.
_LOADED = re.compile(rf"""["']({re.escape(_PACKAGE)}(?:\.\w+)+)["']""")
_EXECUTED = re.compile(r"""["']oncall\.runbooks\.(\w+)["']""")
_FRAGMENTS = re.compile(r"extends_documentation_fragment:.*(?:\n +- .*)*")
_FRAGMENT = re.compile(r"oncall\.runbooks\.(\w+)")


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
    text = path.read_text("utf-8")
    for dots, module, names in _FROM.findall(text):
        # What is imported may be a module or a name in one.
        for name in _imported(names.strip("()")):
            if dots:
                yield from _beside(path, len(dots), [*module.split("."), name] if module else [name])
            else:
                yield from _modules(project, f"{module}.{name}")
    for names in _IMPORT.findall(text):
        for name in _imported(names):
            yield from _modules(project, name)
    yield from _named(project, text)


def _imported(names: str) -> Iterator[str]:
    """The names of an import without what they are called here, and without remarks."""
    for line in names.splitlines():
        for name in line.partition("#")[0].split(","):
            found = _NAME.match(name.strip())
            if found:
                yield found[0]


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


def _beside(path: Path, level: int, parts: list[str]) -> Iterator[Path]:
    yield from _files(path.parents[level - 1], parts)


def _named(project: Project, text: str) -> Iterator[Path]:
    for name in _LOADED.findall(text):
        yield from _modules(project, name)
    folder = collection_folder(project)
    made = [folder / "modules" / f"{name}.py" for name in _EXECUTED.findall(text)]
    for said in _FRAGMENTS.findall(text):
        made += [folder / "doc_fragments" / f"{name}.py" for name in _FRAGMENT.findall(said)]
    yield from (path for path in made if path.is_file())
