"""database-failure: the same faults as Roost's, of another database; see there."""

from __future__ import annotations

from runbook.rehearsal.cases.roost.database_failure import DatabaseFailure

CASE = DatabaseFailure
