"""database-failure: the faults of every system's database."""

from runbook.rehearsal.cases.database import DatabaseCase


class DatabaseFailure(DatabaseCase):
    """What differs: nothing."""


CASE = DatabaseFailure
