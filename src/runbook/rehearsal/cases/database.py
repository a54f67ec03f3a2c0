"""database-failure of every system: PostgreSQL is down, full, crowded, or holds damaged data."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any, ClassVar

from runbook.rehearsal import outside
from runbook.rehearsal.cases.base import Case, Loss, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import backups, database, disk, postgres_settings
from runbook.rehearsal.symptoms.together import Action, all_of

_VOLUME_GB = 20


def store_lost_midway(damaged: str, damage: Action) -> Symptom:
    """Return the fault of a restore whose store refuses it behind its plan; `damaged`: what `damage` does."""
    return Symptom(
        "store-lost-midway",
        f"{damaged}, and the store refuses us once the restore is planned",
        damage,
        kind="failing step",
        expects="restore",
        damages=True,
        undoes=True,
        later=backups.rules(denied=True),
        ends="failed, undone",
        says="AccessDenied",
        relief=backups.rules(),
        then="again",
    )


def empty_bucket(damaged: str, damage: Action) -> Symptom:
    """Return the fault that there is nothing to restore from; `damaged`: what `damage` does."""
    return Symptom(
        "empty-bucket",
        f"{damaged}, and the bucket of backups is empty",
        all_of(backups.empty_bucket, damage),
        kind="failing dependency",
        finds=("postgres_data", "backup_newest"),
    )


SYMPTOMS = (
    Symptom(
        "corrupt-tables",
        "pages of two tables are rubbish: every service gets errors",
        database.corrupt_tables,
        expects="restore",
        damages=True,
        undoes=True,
    ),
    Symptom(
        "dropped-table",
        "a table was dropped",
        database.drop_table,
        expects="restore",
        damages=True,
        undoes=True,
    ),
    Symptom(
        "postmaster-stopped",
        "the server is frozen: TCP connects, queries hang",
        database.send(signal.SIGSTOP),
        database.send(signal.SIGCONT),
        expects="restart",
    ),
    Symptom(
        "postmaster-killed",
        "the server is gone",
        database.kill,
        database.start_database,
        expects="restart",
    ),
    Symptom(
        "connections-exhausted",
        "the application holds every connection",
        database.exhaust_connections,
        database.release_connections,
        expects="terminate-sessions",
    ),
    Symptom(
        "disk-full",
        "no byte is free on the disk that holds the data",
        disk.fill,
        disk.free,
        expects="free-disk",
        finds=("data_disk",),
    ),
    Symptom(
        # The stand-in's disk is one in memory, with no vendor's volume below it: how far the runbook gets is
        # seen here, and the whole way, with a device that grows, in tests/unit/storage.
        "nothing-may-go",
        "no byte is free on the disk, and nothing of what fills it may go",
        disk.fill_for_good,
        kind="failing step",
        # What little may go is tried first.
        expects="free-disk",
        asks="grow-volume",
        finds=("data_disk", "disk_reclaimable"),
        parts=frozenset({"hetzner"}),
        ends="failed, undone",
        in_plan=True,
        says="can be enlarged here",
    ),
    Symptom(
        "settings-spoiled",
        "the server is gone, and a line of its settings keeps it from coming back",
        all_of(postgres_settings.spoil, database.kill),
        kind="failing step",
        expects="restart",
        ends="failed",
        says="shared_bufers",
        relief=postgres_settings.correct,
        then="resume",
    ),
    store_lost_midway("data is damaged", database.corrupt_tables),
    Symptom(
        "stale-backup",
        "data is damaged, and no backup was made for three nights",
        all_of(backups.lose_nights, database.corrupt_tables),
        kind="failing dependency",
        expects="restore",
        finds=("postgres_data", "backup_age"),
        damages=True,
        undoes=True,
    ),
    empty_bucket("data is damaged", database.corrupt_tables),
    Symptom(
        "s3-denied",
        "data is damaged, and the store refuses every request",
        all_of(backups.rules(denied=True), database.corrupt_tables),
        backups.rules(),
        kind="failing dependency",
        finds=("postgres_data", "backup_newest"),
    ),
    Symptom(
        "wrong-credentials",
        "data is damaged, and the store no longer knows our key",
        all_of(backups.forget_key, database.corrupt_tables),
        backups.rules(),
        kind="failing dependency",
        finds=("postgres_data", "backup_newest"),
    ),
)


class DatabaseCase(Case):
    """What services are told by the database is the problem; the picture is the whole server."""

    runbook = "database-failure"
    parts = frozenset({"database", "backups"})
    default = "corrupt-tables"
    symptoms: ClassVar[tuple[Symptom, ...]] = SYMPTOMS
    # The newest uploads of the stand-in are decoys, which a diagnosis has to see at any time.
    always_fails = frozenset({"backup_size_trend"})
    _newer_rows = 0

    def problem_outside(self, stack: Stack) -> str:
        """Do a service's work as the service's own role."""
        return outside.service_error(stack)

    def healthy(self, stack: Stack) -> str:
        """Also count the rows that a restore of the newest backup would lose."""
        isolation = super().healthy(stack)
        self._newer_rows = outside.newer_rows(outside.digest_of(stack), outside.truth(stack))
        facts = stack.facts["postgres"]
        return f"PostgreSQL {facts['label']} {facts['version']}, {isolation}"

    def picture(self, stack: Stack) -> outside.Picture:
        """Take the state of the server."""
        return outside.picture(stack)

    def differences(self, before: Any, after: Any, *, undone: bool = False) -> list[str]:
        """Compare two states; an undo keeps the database that it took out of use."""
        return outside.picture_differences(before, after, databases=not undone)

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:  # noqa: ARG002
        """Return the size that the volume is to have."""
        return {"host_volume_size": _VOLUME_GB} if fault.mitigation == "grow-volume" else {}

    def loss(self, stack: Stack, fault: Symptom) -> Loss:
        """Whatever is newer than the backup is lost by a restore, by nothing else."""
        if fault.expects != "restore":
            return Loss()
        backup = datetime.fromisoformat(stack.facts["backups"]["good_time"])
        return Loss((datetime.now(UTC) - backup).total_seconds(), self._newer_rows)

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Compare a restored database with the backup's truth, one that was not damaged with itself."""
        if fault.name == "stale-backup":
            # What an older backup held is not kept: it has to serve, and the damaged one has to be there.
            return [problem] if (problem := self.problem_outside(stack)) else []
        if fault.damages:
            return outside.restored_problems(stack, before)
        found = super().verified(stack, fault, before)
        return found + disk.not_kept(stack) if fault.name == "disk-full" else found

    @property
    def proof(self) -> str:
        """What was compared."""
        return "services are served; every table, object, right and setting is what it has to be"
