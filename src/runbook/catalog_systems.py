# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Systems, read from their inventories as plain YAML: who they are and which runbooks they declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.catalog_yaml import FileError, Reader, is_vault, read_text

OVERLAYS = "rehearsal"
"""Folder of inventories/ that holds overlays, not systems."""


@dataclass(frozen=True)
class Declaration:
    """What a system promises for one runbook; None = it says nothing about it."""

    severity: str | None
    recovery_minutes: float | None
    rpo_hours: float | None


@dataclass(frozen=True)
class System:
    """One system: `folder` is its inventory.

    needs_proof: nothing is changed by a runbook that is not proved. proof_days: how old a proof may be,
    0 = any age.
    """

    name: str
    title: str
    folder: Path
    runbooks: Mapping[str, Declaration]
    contacts: Mapping[str, Any]
    needs_proof: bool = False
    proof_days: float = 0.0


def system_folders(inventories: Path) -> list[Path]:
    """Return the inventory folders of all systems, sorted by name."""
    return sorted(
        folder
        for folder in inventories.iterdir()
        if folder.is_dir() and folder.name != OVERLAYS and not folder.name.startswith(".")
    )


def read_system(folder: Path) -> System:
    """Return the system whose inventory is `folder`; raise FileError when it is none."""
    found: tuple[Reader, Any] | None = None
    for path in variable_files(folder):
        text = read_text(path)
        if is_vault(text):
            continue
        reader = Reader(path, text)
        if isinstance(reader.value, dict) and "system" in reader.value:
            found = (reader, reader.value["system"])
    if found is None:
        where = folder / "group_vars" / "all"
        raise FileError(
            where, 0, "no file there sets system", "system: {name, title, runbooks} in system.yml"
        )
    return _system(folder, *found)


def variable_files(folder: Path) -> list[Path]:
    """Return the files that set variables of every host of an inventory, in the order Ansible reads them."""
    single = [folder / "group_vars" / f"all{suffix}" for suffix in (".yml", ".yaml")]
    many = folder / "group_vars" / "all"
    inside = sorted(p for p in many.rglob("*") if p.suffix in {".yml", ".yaml"}) if many.is_dir() else []
    return [path for path in single if path.is_file()] + inside


def _system(folder: Path, reader: Reader, value: Any) -> System:
    data = reader.mapping(value, ["system"], "system: {name: text, title: text, runbooks: {...}}")
    name = reader.text_at(data.get("name", folder.name), ["system", "name"], "the system's name as a text")
    if name != folder.name:
        raise reader.problem(
            ["system", "name"],
            f"system.name is {name!r}",
            f"{folder.name!r}, like the folder of the inventory",
        )
    title = reader.text_at(data.get("title", name), ["system", "title"], "a title as a text")
    declared = reader.mapping(
        data.get("runbooks") or {}, ["system", "runbooks"], "runbooks: {<runbook>: {severity: SEV-1, ...}}"
    )
    contacts = reader.mapping(
        data.get("contacts") or {}, ["system", "contacts"], "contacts: {on_call: text, ...}"
    )
    runbooks = {runbook: _declaration(reader, runbook, given) for runbook, given in declared.items()}
    wanted = reader.mapping(
        data.get("proof") or {}, ["system", "proof"], "proof: {required: true, max_age_days: 30}"
    )
    days = reader.number_at(
        wanted.get("max_age_days"), ["system", "proof", "max_age_days"], "a number of days above 0"
    )
    return System(name, title, folder, runbooks, contacts, bool(wanted.get("required")), days or 0.0)


def _declaration(reader: Reader, runbook: str, value: Any) -> Declaration:
    steps = ["system", "runbooks", runbook]
    data = reader.mapping(value or {}, steps, "{severity: SEV-1, recovery_minutes: 15, rpo_hours: 24}")
    severity = data.get("severity")
    if severity is not None:
        reader.text_at(severity, [*steps, "severity"], "a severity as a text, such as SEV-1")
    minutes = reader.number_at(
        data.get("recovery_minutes"), [*steps, "recovery_minutes"], "a number of minutes above 0"
    )
    hours = reader.number_at(data.get("rpo_hours"), [*steps, "rpo_hours"], "a number of hours above 0")
    return Declaration(severity, minutes, hours)
