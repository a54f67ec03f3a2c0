"""backup-stale: no night was backed up, the job is locked out or its scheduler gone, or the store refuses."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from runbook.rehearsal import outside_backups
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import backups, database, disk, holders, jobs, services
from runbook.rehearsal.symptoms.together import all_of

# The job fails every night, so its heartbeat is old, too.
_MISSED = all_of(services.tell("worker", no_backup=True), jobs.silence_backup, backups.lose_nights)
_FINDS = ("backup_age", "backup_heartbeat")
_SYMPTOMS = (
    Symptom(
        "nights-missed",
        "no backup was made for three nights",
        _MISSED,
        expects="take-backup",
        finds=_FINDS,
        damages=True,
        undoes=True,
    ),
    Symptom(
        "disk-full",
        "no byte is free on the disk of the database, so the job has made no backup for three nights",
        all_of(_MISSED, disk.fill),
        disk.free,
        expects="take-backup",
        finds=(*_FINDS, "data_disk"),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "lock-left",
        "a backup job that is long gone holds the lock: no other begins",
        jobs.leave_backup_lock,
        expects="release-lock",
        finds=("backup_lock", "backup_heartbeat"),
        damages=True,
    ),
    Symptom(
        "scheduler-killed",
        "the scheduler is gone, and the backup job with it",
        all_of(services.kill("worker"), jobs.silence, jobs.silence_backup),
        services.start("worker"),
        expects="restart-scheduler",
        finds=("service_runtime", "backup_heartbeat"),
    ),
    Symptom(
        "table-locked",
        "no backup was made for three nights, and somebody holds a table that has to be dumped",
        all_of(_MISSED, holders.lock_out("public.bookings")),
        kind="failing step",
        expects="take-backup",
        finds=_FINDS,
        damages=True,
        ends="failed, undone",
        says="somebody has locked a table",
        relief=holders.unlock,
        then="again",
    ),
    Symptom(
        "store-lost-midway",
        "no backup was made for three nights, and the store refuses us once one is planned",
        _MISSED,
        kind="failing step",
        expects="take-backup",
        finds=_FINDS,
        damages=True,
        later=backups.rules(denied=True),
        ends="failed, undone",
        says="AccessDenied",
        relief=backups.rules(),
        then="again",
    ),
    Symptom(
        "store-denied",
        "the store refuses every request: nobody knows what is in it",
        backups.rules(denied=True),
        backups.rules(),
        kind="failing dependency",
        finds=("backup_newest",),
    ),
    Symptom(
        "database-frozen",
        "no backup was made for three nights, and the database does not answer",
        all_of(_MISSED, database.send(signal.SIGSTOP)),
        database.send(signal.SIGCONT),
        kind="failing dependency",
        finds=("backup_age", "postgres_answers"),
        unsure=("backup_heartbeat",),
    ),
)


class BackupStale(Case):
    """Outside is whoever would have to restore now; the picture is the bucket and the job's heartbeat."""

    runbook = "backup-stale"
    parts: ClassVar = frozenset({"database", "backups", "services"})
    default = "nights-missed"
    symptoms = _SYMPTOMS
    # The newest uploads of the stand-in are decoys, which a diagnosis has to see at any time.
    always_fails: ClassVar = frozenset({"backup_size_trend"})

    def problem_outside(self, stack: Stack) -> str:
        """Look for a backup that is whole and young, and see whether the job may and does run."""
        try:
            # First what needs no database: one that is frozen would be waited for without end.
            if stale := outside_backups.problem(stack):
                return stale
            if locked_out := jobs.backup_locked_out(stack):
                return f"{locked_out} holds the lock of the backup job"
            return jobs.worked_on(stack)
        except Exception as error:  # whatever the store or the database says
            return f"the backups cannot be looked at: {str(error).strip()}"

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take what is in the bucket and, where nobody writes it all the time, when the job last reported."""
        with outside_backups.behind_its_rules(stack):
            taken: dict[str, Any] = {"the bucket": outside_backups.keys(stack)}
            stale = outside_backups.problem(stack)
        return taken | ({"the heartbeat of the backup job": jobs.backup_beat(stack)} if stale else {})

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """See that a backup by hand added one object and its checksum, and that nothing else is another."""
        found = super().verified(stack, fault, before)
        added = set(outside_backups.keys(stack)) - set(before["the bucket"])
        lost = set(before["the bucket"]) - set(outside_backups.keys(stack))
        made = 2 if fault.mitigation == "take-backup" else 0
        if len(added) != made or lost:
            found.append(f"the bucket has {sorted(added)} more and {sorted(lost)} less")
        return found

    @property
    def proof(self) -> str:
        """What was seen."""
        return "a whole backup is young enough, no other object was touched, and the job may run"


CASE = BackupStale
