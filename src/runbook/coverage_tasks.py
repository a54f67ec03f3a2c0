# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tasks of a system's runbooks change something, read from playbooks and roles as plain YAML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.catalog_systems import System
from runbook.catalog_yaml import Reader, Step
from runbook.project import Project

EFFECTS = ("irreversible", "change")
_COLLECTION = "oncall.runbooks."
_INCLUDES = {"include_role", "import_role", "include_tasks", "import_tasks"}
_ROLES = {"include_role", "import_role"}


@dataclass(frozen=True)
class ChangingTask:
    """A task with an effect. `entry_point` is `role entry`, or the playbook's path for a task of its own."""

    entry_point: str
    name: str
    effect: str
    path: Path
    line: int


@dataclass(frozen=True)
class _Task:
    data: dict[str, Any]
    tags: frozenset[str]
    where: tuple[Step, ...]


def collection_of(project: Project) -> Path:
    """Return the folder of the project's collection."""
    return project.root / "collections" / "ansible_collections" / "oncall" / "runbooks"


def role_folder(project: Project, role: str) -> Path | None:
    """Return the folder of `role`, of the collection or beside the playbooks; None when there is none."""
    for folder in (collection_of(project) / "roles" / role, project.playbooks / "roles" / role):
        if role and folder.is_dir():
            return folder
    return None


def changing_tasks(project: Project, system: System) -> Iterator[ChangingTask]:
    """Yield the changing tasks of the playbooks that `system` declares, and of the roles they use.

    All entry points of such a role count: those that take a change back are reached through what a run has
    recorded, not through a name in a playbook.
    """
    roles: set[str] = set()
    for runbook in sorted(system.runbooks):
        path = project.playbook(runbook)
        if path.is_file():
            reader = Reader(path)
            roles |= set(_used(reader))
            yield from _changing(reader, path.relative_to(project.root).as_posix())
    for role, folder in _closure(project, roles).items():
        for path in sorted((folder / "tasks").glob("*.yml")):
            yield from _changing(Reader(path), f"{role} {path.stem}")


def _closure(project: Project, roles: set[str]) -> dict[str, Path]:
    """The folders of these roles and of those that they use in turn."""
    found: dict[str, Path] = {}
    left = sorted(roles)
    while left:
        role = left.pop()
        folder = role_folder(project, role)
        if folder is None or role in found:
            continue
        found[role] = folder
        for path in (folder / "tasks").glob("*.yml"):
            left += _used(Reader(path))
    return dict(sorted(found.items()))


def _used(reader: Reader) -> list[str]:
    """The roles that a file of plays or tasks names; one that is named by a variable is not among them."""
    named = []
    for task in _tasks(reader.value):
        for key, value in task.data.items():
            if key.rpartition(".")[2] in _ROLES and isinstance(value, dict):
                named.append(str(value.get("name", "")).removeprefix(_COLLECTION))
    return named


def _changing(reader: Reader, entry_point: str) -> Iterator[ChangingTask]:
    for task in _tasks(reader.value):
        effect = next((tag for tag in EFFECTS if tag in task.tags), "")
        # What an included file does is told by its own tasks.
        if effect and not any(key.rpartition(".")[2] in _INCLUDES for key in task.data):
            name = str(task.data.get("name", "without a name"))
            yield ChangingTask(entry_point, name, effect, reader.path, reader.line(task.where))


def _tasks(listed: Any, tags: frozenset[str] = frozenset(), where: tuple[Step, ...] = ()) -> Iterator[_Task]:
    """Every task in a list of plays, blocks and tasks, with the tags it inherits."""
    for number, data in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(data, dict):
            continue
        here, own = (*where, number), tags | _tags(data)
        inside = [key for key in _LISTS if isinstance(data.get(key), list)]
        for key in inside:
            yield from _tasks(data[key], own, (*here, key))
        if not inside:
            yield _Task(data, own, here)


_LISTS = ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always")


def _tags(data: dict[str, Any]) -> frozenset[str]:
    tags = data.get("tags") or []
    listed = tags.split(",") if isinstance(tags, str) else tags
    return frozenset(str(tag).strip() for tag in listed)
