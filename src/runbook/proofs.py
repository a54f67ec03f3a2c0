# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How every runbook of every system is proved, for the commands that show it: without Ansible, at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from runbook_engine import proof, proof_store
from runbook_engine.project_files import Project as Files
from runbook_engine.proof import Standing

from runbook.catalog_systems import System
from runbook.project import Project

Standings = dict[tuple[str, str], Standing]
"""(system, runbook) → how it stands."""

STYLE = {
    proof.PROVED: "green",
    proof.STALE: "yellow",
    proof.INCOMPLETE: "yellow",
    proof.FAILED: "bold red",
    proof.NEVER: "bold red",
}


def standings(
    project: Project,
    state: Path,
    systems: Iterable[System],
    *,
    faults: Mapping[tuple[str, str], Iterable[str]] | None = None,
    now: datetime | None = None,
) -> Standings:
    """Return how every declared runbook of `systems` stands.

    faults: those that have to be proved, where the caller knows them better than the rehearsals themselves.
    """
    listed = list(systems)
    declared = {system.name: sorted(system.runbooks) for system in listed}
    newest = proof_store.newest(project.root, state, declared)
    files = Files(project.root)
    ages = {system.name: system.proof_days for system in listed}
    return {
        (system, runbook): proof.standing(
            files,
            system,
            runbook,
            found,
            faults=(faults or {}).get((system, runbook), ()),
            max_age_days=ages[system],
            now=now,
        )
        for (system, runbook), found in newest.items()
    }


def known_faults(systems: Iterable[System]) -> dict[tuple[str, str], list[str]]:
    """Return the faults that each declared runbook of `systems` has to be proved with.

    Of a runbook without a rehearsal there is none here. Imports the cases, and with them the stand-ins.
    """
    from runbook.rehearsal import cases  # noqa: PLC0415 - a tenth of a second that only a few commands need

    return {
        (system.name, runbook): [fault.name for fault in cases.find(system.name, runbook).symptoms]
        for system in systems
        for runbook in cases.names(system.name)
        if runbook in system.runbooks
    }
