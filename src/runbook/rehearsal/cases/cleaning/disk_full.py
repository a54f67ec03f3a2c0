"""disk-full: the disk is filled by what may go, by deleted files, WAL or backups, or by what may not go."""

from __future__ import annotations

from typing import Any, ClassVar

from runbook.rehearsal import outside_cleaning
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import backups, disk, redis, services, space
from runbook.rehearsal.symptoms.together import all_of

_SYMPTOMS = (
    Symptom(
        "disk-full",
        "no byte is free, so a snapshot of Redis failed: nobody can log in",
        redis.fill_disk,
        disk.free,
        expects="free-disk",
        finds=("data_disk", "redis_persistence"),
    ),
    Symptom(
        "nearly-full",
        "88 % of the disk is used: all is well as yet, and the alert has come",
        space.nearly_fill,
        disk.free,
        expects="free-disk",
        finds=("data_disk",),
    ),
    Symptom(
        "database-fell",
        "no byte is free, and PostgreSQL has ended because it could not write",
        space.fill_and_fall,
        expects="free-disk",
        finds=("data_disk", "postgres_runtime"),
    ),
    Symptom(
        "deleted-but-open",
        "a log was deleted by hand, and the API still writes into it: its space is not free",
        space.hold_deleted,
        services.start("api"),
        expects="restart-holder",
        finds=("data_disk", "disk_deleted"),
    ),
    Symptom(
        "slot-of-an-old-replica",
        "WAL is kept for a replica that is gone",
        space.make_slot,
        expects="drop-slot",
        finds=("data_disk", "postgres_replication"),
    ),
    Symptom(
        "old-backups",
        "local copies of backups fill the disk; the store has them, too",
        space.keep_backups,
        expects="remove-backups",
        finds=("data_disk", "disk_reclaimable"),
    ),
    Symptom(
        "replica-comes-back",
        "the replica whose slot was to go reads from it again behind the plan",
        space.make_slot,
        kind="failing step",
        expects="drop-slot",
        finds=("data_disk", "postgres_replication"),
        later=space.use_slot,
        ends="failed, undone",
        says="somebody reads from it",
        relief=space.leave_slot,
        then="again",
    ),
    Symptom(
        "copy-differs",
        "somebody wants to remove the local backups, and the store has another content of one of them",
        all_of(space.keep_backups, space.damage_copy),
        kind="failing step",
        asks="remove-backups",
        finds=("data_disk", "disk_reclaimable"),
        unsure=("backups_reclaimable",),
        ends="failed",
        says="not, as far as the store tells, the same content",
        relief=space.mend_copy,
        then="again",
    ),
    Symptom(
        "no-volume-named",
        "customers' photos fill the disk: nothing may go, and the inventory names no volume that could grow",
        space.fill_by_uploads,
        space.remove_uploads,
        kind="failing step",
        expects="grow-volume",
        finds=("data_disk", "disk_reclaimable", "backups_reclaimable"),
        ends="failed, undone",
        in_plan=True,
        says="host_volume",
    ),
    Symptom(
        "store-denied",
        "local copies of backups fill the disk, and the store does not let us look: nothing proves them",
        all_of(space.keep_backups, backups.rules(denied=True)),
        backups.rules(),
        kind="failing dependency",
        finds=("data_disk", "backup_newest"),
        unsure=("backups_reclaimable",),
    ),
)


class DiskFull(Case):
    """Outside is the alert of the host, and a customer who looks at bookings and logs in."""

    runbook = "disk-full"
    parts: ClassVar = frozenset({"database", "backups", "services", "redis"})
    default = "disk-full"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"free-disk": ("remove-backups",)}
    # The newest uploads of the stand-in are decoys, which a diagnosis has to see at any time.
    always_fails = frozenset({"backup_size_trend"})

    def problem_outside(self, stack: Stack) -> str:
        """Be a customer, then the alert of the host."""
        problem = outside_cleaning.problem(stack) or redis.log_in(stack)
        used = space.used_percent(stack)
        full = f"{used:.0f} % of the disk is used" if used > space.LIMIT_PERCENT else ""
        return problem or full

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take data, settings and sessions."""
        return outside_cleaning.picture(stack) | redis.picture(stack)

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:  # noqa: ARG002
        """Give what a person reads in the findings, or knows."""
        given: dict[str, dict[str, Any]] = {
            "restart-holder": {"service_restart_names": ["api"]},
            "drop-slot": {"postgres_slot": space.SLOT, "postgres_slot_unused_for": 1},
            "grow-volume": {"host_volume_size": 200},
        }
        return given.get(fault.mitigation, {})

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Also see that of the local backups the newest one stayed."""
        found = super().verified(stack, fault, before)
        if fault.mitigation == "remove-backups" and len(space.local_backups(stack)) != 1:
            found.append("not exactly the newest local backup is left")
        return found

    @property
    def proof(self) -> str:
        """What was seen."""
        return "the alert is over, customers are served and can log in; no data, session or setting is lost"


CASE = DiskFull
