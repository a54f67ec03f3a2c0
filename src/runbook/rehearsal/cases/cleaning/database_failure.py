"""database-failure: the faults of every system's database."""

from __future__ import annotations

from dataclasses import replace

from runbook.rehearsal.cases.database import SYMPTOMS, DatabaseCase


class DatabaseFailure(DatabaseCase):
    """What differs: the owner of this platform has named no volume that could be enlarged."""

    symptoms = tuple(
        replace(fault, says="host_volume") if fault.asks == "grow-volume" else fault for fault in SYMPTOMS
    )


CASE = DatabaseFailure
