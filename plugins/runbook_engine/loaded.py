# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run really loads: noted while it runs, then turned into the files of the project behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_engine.code_files import closure, collection_folder
from runbook_engine.errors import EngineError
from runbook_engine.project_files import Project

LOADED = "loaded.json"
"""File in a run's folder; not part of the chain."""

# What a role brings beside its tasks, which count one by one.
_ROLE_PARTS = ("defaults", "vars", "meta", "handlers", "templates", "files")
_COLLECTION = "oncall.runbooks."


class LoadedError(EngineError):
    """It is not known what a run loaded."""

    kind = "loaded"


@dataclass
class Notes:
    """What was seen while a run ran: paths as they were used, and the names of actions and modules."""

    root: Path
    files: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)
    inventories: set[str] = field(default_factory=set)

    def write(self, folder: Path) -> None:
        """Write them into the folder of a run; files outside of the project are left out."""
        own = set(Project(self.root).relative(map(Path, self.files)))
        kept = {"root": str(self.root), **{name: sorted(getattr(self, name)) for name in _SETS}}
        kept["files"] = sorted(str(self.root / name) for name in own)
        (folder / LOADED).write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


_SETS = ("files", "roles", "actions", "inventories")


def read_notes(folder: Path) -> Notes:
    """Return what the run in `folder` noted; raise LoadedError when it noted nothing that can be read."""
    try:
        kept: Mapping[str, Any] = json.loads((folder / LOADED).read_text("utf-8"))
        return Notes(Path(kept["root"]), *({str(item) for item in kept[name]} for name in _SETS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadedError(
            f"What run {folder.name} loaded cannot be read: {error}.",
            "rehearse again; see that ansible.cfg enables the callback `loaded`",
        ) from error


def paths_of(root: Path, notes: Iterable[Notes]) -> list[str]:
    """Return the paths, relative to `root`, of all that these runs stand on; a folder ends with `/`.

    A folder stands for the names in it: whoever adds a file to an inventory or to a role's defaults changes
    what is loaded as much as whoever edits one. Files outside of the project are not among them.
    """
    project, listed = Project(root), list(notes)
    seen = {Path(name) for noted in listed for name in noted.files}
    actions = {action for noted in listed for action in noted.actions}
    code = {path for path in seen if path.suffix == ".py"}
    found = set(project.relative([*(seen - code), *closure(project, [*code, *_plugins(project, actions)])]))
    for folder in {folder for noted in listed for folder in _folders(project, noted)}:
        found |= set(project.listed(folder))
    return sorted(found)


def _plugins(project: Project, actions: Iterable[str]) -> list[Path]:
    """The action plugin and the module behind each name; what Ansible brings itself has neither here."""
    made: list[Path] = []
    for action in actions:
        name = action.removeprefix(_COLLECTION)
        if "." not in name:
            made += [collection_folder(project) / kind / f"{name}.py" for kind in ("action", "modules")]
            made.append(project.root / "plugins" / "action" / f"{name}.py")
    return [path for path in made if path.is_file()]


def _folders(project: Project, noted: Notes) -> Iterator[Path]:
    for role in noted.roles:
        yield from (Path(role) / part for part in _ROLE_PARTS)
    for inventory in noted.inventories:
        if project.is_shipped(Path(inventory)):
            yield Path(inventory)
