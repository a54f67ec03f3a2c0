# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalog: every runbook and system of a project, looked up by name, without Ansible."""

from __future__ import annotations

from dataclasses import dataclass, field

from runbook_engine.errors import EngineError, UsageError, nearest

from runbook.catalog_runbooks import Mitigation, Runbook, read_runbook, runbook_files, runbook_name
from runbook.catalog_systems import Declaration, System, read_system, system_folders
from runbook.project import Project


@dataclass(frozen=True)
class Catalog:
    """What a project offers. `problems` are the files that could not be read: what is sound stays usable."""

    systems: tuple[System, ...]
    runbooks: tuple[Runbook, ...]
    problems: tuple[EngineError, ...] = field(default=())


def read_catalog(project: Project) -> Catalog:
    """Read every header and inventory of `project`; broken files become problems."""
    systems: list[System] = []
    runbooks: list[Runbook] = []
    problems: list[EngineError] = []
    for folder in system_folders(project.inventories):
        try:
            systems.append(read_system(folder))
        except EngineError as error:
            problems.append(error)
    for path in runbook_files(project.playbooks):
        try:
            runbooks.append(read_runbook(path))
        except EngineError as error:
            problems.append(error)
    problems += [problem for system in systems for problem in _undeclared(system, project)]
    return Catalog(tuple(systems), tuple(runbooks), tuple(problems))


def _undeclared(system: System, project: Project) -> list[EngineError]:
    return [
        UsageError(
            f"System {system.name} declares the runbook {name}, which has no playbook. "
            + nearest(name, runbook_names(project)),
            f"correct system.runbooks in {system.folder}",
        )
        for name in system.runbooks
        if not project.playbook(name).is_file()
    ]


def runbook_names(project: Project) -> list[str]:
    """Return the names of all runbooks, whether their headers can be read or not."""
    return [runbook_name(path) for path in runbook_files(project.playbooks)]


def system_names(project: Project) -> list[str]:
    """Return the names of all systems, whether their inventories can be read or not."""
    return [folder.name for folder in system_folders(project.inventories)]


def find_runbook(project: Project, name: str) -> Runbook:
    """Return the runbook called `name`; raise UsageError with the nearest names, or the file's problem."""
    names = runbook_names(project)
    if name not in names:
        raise UsageError(
            f"There is no runbook {name!r}. {nearest(name, names)}", "see them all: runbook list"
        )
    return read_runbook(project.playbook(name))


def find_system(project: Project, name: str) -> System:
    """Return the system called `name`; raise UsageError with the nearest names, or the file's problem."""
    names = system_names(project)
    if name not in names:
        raise UsageError(f"There is no system {name!r}. {nearest(name, names)}", "see them all: runbook list")
    return read_system(project.inventories / name)


def find_declaration(system: System, runbook: Runbook) -> Declaration:
    """Return what `system` declares for `runbook`; raise UsageError when it does not declare it."""
    declared = system.runbooks.get(runbook.name)
    if declared is None and runbook.triages:
        return Declaration(None, None, None)
    if declared is None:
        raise UsageError(
            f"System {system.name} does not declare the runbook {runbook.name}. "
            + nearest(runbook.name, system.runbooks),
            f"add it to system.runbooks in {system.folder}/group_vars/all/system.yml",
        )
    return declared


def find_mitigation(runbook: Runbook, name: str) -> Mitigation:
    """Return the mitigation called `name`; raise UsageError with the nearest names."""
    found = runbook.mitigation(name)
    if found is None:
        names = [mitigation.name for mitigation in runbook.mitigations]
        raise UsageError(
            f"Runbook {runbook.name} has no mitigation {name!r}. {nearest(name, names)}",
            f"see what each one does: runbook show {runbook.name}",
        )
    return found
