"""database-restore: a table is gone or damaged; restore it, look first, or go back to before a moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from runbook.rehearsal import digest, outside
from runbook.rehearsal.cases.base import Loss, Symptom
from runbook.rehearsal.cases.database import DatabaseCase, empty_bucket, store_lost_midway
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import database

_MARKED = """
SELECT option FROM pg_database d JOIN pg_db_role_setting s ON s.setdatabase = d.oid AND s.setrole = 0,
unnest(s.setconfig) option WHERE d.datname = %s AND option LIKE 'oncall_runbooks.restore%%'"""
_SYMPTOMS = (
    Symptom(
        "dropped-table",
        "the table bookings was dropped",
        database.drop_table,
        expects="restore",
        finds=("postgres_data",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "look-first",
        "pages of customers and bookings are rubbish, and somebody wants to look at the backup first",
        database.corrupt_tables,
        expects="restore",
        asks="restore-beside",
        finds=("postgres_data",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "damage-of-yesterday",
        "a table was dropped, and somebody knows that the newest backup has the damage in it, too",
        database.drop_table,
        expects="restore",
        finds=("postgres_data",),
        damages=True,
        undoes=True,
    ),
    store_lost_midway("a table was dropped", database.drop_table),
    empty_bucket("a table was dropped", database.drop_table),
)


class DatabaseRestore(DatabaseCase):
    """The same outside and the same picture as database-failure's: the whole server."""

    runbook = "database-restore"
    default = "dropped-table"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"restore": ("restore-beside",)}

    def _before(self, stack: Stack) -> datetime:
        return datetime.fromisoformat(stack.facts["backups"]["good_time"]) - timedelta(hours=1)

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:
        """Name the moment of the damage, where somebody knows it."""
        if fault.name != "damage-of-yesterday":
            return {}
        return {"postgres_restore_before": self._before(stack).isoformat()}

    def loss(self, stack: Stack, fault: Symptom) -> Loss:
        """What stays beside loses nothing; from before a moment more is lost than since the newest backup."""
        loss = super().loss(stack, fault) if fault.mitigation == "restore" else Loss()
        more = 24 * 3600.0 if fault.name == "damage-of-yesterday" else 0.0
        return Loss(loss.window_s + more, loss.rows)

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Look at what was restored: in service, beside, or from before the moment."""
        if fault.mitigation == "restore-beside":
            return self._beside(stack, before)
        if fault.name != "damage-of-yesterday":
            return super().verified(stack, fault, before)
        found = [problem] if (problem := self.problem_outside(stack)) else []
        wanted = stack.shape.key_of(self._before(stack) - timedelta(hours=23))
        (row,) = stack.server().execute(_MARKED, (stack.database,)) or [("no mark",)]
        return found + ([] if wanted in row[0] else [f"it comes from {row[0]} instead of {wanted}"])

    def _beside(self, stack: Stack, before: outside.Picture) -> list[str]:
        """What stands beside is the backup's truth, and the live database is as damaged as it was."""
        now = self.picture(stack)
        made = sorted(set(now.names) - set(before.names))
        if len(made) != 1:
            return [f"beside the live database are {made or 'none'}"]
        found = digest.differences(before.database, now.database)
        connection = stack.server().connect(made[0])
        try:
            beside = digest.take(connection)
        finally:
            connection.close()
        return found + digest.differences(outside.truth(stack), beside, ignore=("identity",))

    @property
    def proof(self) -> str:
        """What was compared."""
        return "what was restored is what the backup holds, and the old database is there"


CASE = DatabaseRestore
