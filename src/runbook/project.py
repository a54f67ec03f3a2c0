# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the project: the folder that holds the playbooks, the inventories and ansible.cfg."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runbook_engine.errors import UsageError

_MARKS = ("playbooks", "inventories", "ansible.cfg")
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Project:
    """A project folder; `origin` says how it was found (for the messages)."""

    root: Path
    origin: str

    @property
    def playbooks(self) -> Path:
        """Folder with one playbook per runbook."""
        return self.root / "playbooks"

    @property
    def inventories(self) -> Path:
        """Folder with one inventory per system."""
        return self.root / "inventories"

    @property
    def config(self) -> Path:
        """The project's ansible.cfg."""
        return self.root / "ansible.cfg"

    def playbook(self, runbook: str) -> Path:
        """The playbook of `runbook`, whether it exists or not."""
        return self.playbooks / f"{runbook.replace('-', '_')}.yml"


def is_project(folder: Path) -> bool:
    """Whether `folder` has everything a project needs."""
    return all((folder / mark).exists() for mark in _MARKS)


def find_project(
    explicit: str | None = None, environ: Mapping[str, str] = os.environ, start: Path | None = None
) -> Project:
    """Return the project to work with.

    In this order: `explicit` (the option --project), RUNBOOK_PROJECT, the nearest parent of `start` (default:
    the current folder), the copy inside the installed package. A named one that is no project: UsageError.
    """
    for given, origin in ((explicit, "--project"), (environ.get("RUNBOOK_PROJECT"), "RUNBOOK_PROJECT")):
        if given:
            return _named(Path(given).expanduser().absolute(), origin)
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if is_project(folder):
            return Project(folder, "current folder")
    return _installed(here)


def _named(folder: Path, origin: str) -> Project:
    if not is_project(folder):
        missing = ", ".join(mark for mark in _MARKS if not (folder / mark).exists())
        raise UsageError(
            f"{folder} (from {origin}) is no project: {missing} not found there.",
            "name the folder that holds playbooks/, inventories/ and ansible.cfg",
        )
    return Project(folder, origin)


def _installed(here: Path) -> Project:
    """The copy in the wheel; with an editable install, the checkout that the package is in."""
    for folder in (_PACKAGE / "project", _PACKAGE.parent.parent):
        if is_project(folder):
            return Project(folder, "installed with runbook")
    raise UsageError(
        f"No project in {here} or above it, and none came with this installation.",
        "change to a checkout, or name one with --project FOLDER",
    )
