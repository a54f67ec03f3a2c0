# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What no rehearsal of a runbook has shown yet, although every fault may be proved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runbook_engine.proof import Standing

from runbook.catalog import find_runbook
from runbook.project import Project

if TYPE_CHECKING:
    from runbook.rehearsal.cases.base import Case

Gaps = Mapping[tuple[str, str], Sequence[str]]
"""(system, runbook) → sentences without their end."""


def gaps(project: Project, standings: Iterable[Standing]) -> dict[tuple[str, str], list[str]]:
    """Return what was not shown of each runbook that has rehearsals; imports the cases."""
    from runbook.rehearsal import cases  # noqa: PLC0415 - a tenth of a second that only `proof` needs

    return {
        (one.system, one.runbook): not_shown(
            one.rehearsals.values(),
            [mitigation.name for mitigation in find_runbook(project, one.runbook).mitigations],
            cases.find(one.system, one.runbook),
        )
        for one in standings
        if one.rehearsals and one.runbook in cases.names(one.system)
    }


def not_shown(
    rehearsals: Iterable[Mapping[str, Any]], mitigations: Iterable[str], case: type[Case]
) -> list[str]:
    """Return what the newest rehearsals of a runbook did not look at.

    mitigations: those of its playbook. Of a mitigation that is included in another one, the kills of that
    count, and that it was taken back.
    """
    from runbook.rehearsal.choice import killed  # noqa: PLC0415

    found = [one for one in rehearsals if one.get("passed")]
    cut = {str(one.get("mitigation")) for one in found if one.get("kills")}
    cut |= {part for name in cut for part in (*case.includes.get(name, ()), *case.same_steps.get(name, ()))}
    back = {str(one.get("mitigation")) for one in found if one.get("undone") is not None}
    back |= {part for name in back for part in case.includes.get(name, ())}
    ending = [fault.mitigation for fault in killed(case)]
    rehearsed = {fault.mitigation for fault in case.symptoms}
    told = [
        ("no fault calls for", [name for name in mitigations if name not in rehearsed]),
        ("never killed", [name for name in ending if name not in cut]),
        ("never taken back", [name for name in ending if name not in back]),
    ]
    control = [] if any(one.get("control") for one in found) else ["no control on a healthy system"]
    return [f"{what}: {', '.join(names)}" for what, names in told if names] + control
