"""database-failure: the same faults as Roost's, of another database; see there."""

from __future__ import annotations

from dataclasses import replace

from runbook.rehearsal.cases.roost import database_failure as roost


class DatabaseFailure(roost.DatabaseFailure):
    """What differs: the owner of this platform has named no volume that could be enlarged."""

    symptoms = tuple(
        replace(fault, says="host_volume") if fault.asks == "grow-volume" else fault
        for fault in roost.DatabaseFailure.symptoms
    )


CASE = DatabaseFailure
