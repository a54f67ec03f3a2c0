"""migrations-not-current: the database lacks migrations of the code, or has some that it does not know."""

from __future__ import annotations

from typing import Any, ClassVar

from runbook.rehearsal import outside_cleaning, outside_deployments
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import backups, holders
from runbook.rehearsal.symptoms import deployments as bad
from runbook.rehearsal.symptoms.together import all_of

_FINDS = ("migrations_state", "migrations_current")
_SYMPTOMS = (
    Symptom(
        "behind",
        "code was deployed that needs a migration, which nobody applied",
        bad.behind,
        expects="upgrade",
        finds=(*_FINDS, "canary_request"),
        damages=True,
    ),
    Symptom(
        "ahead",
        "somebody went back to code from before the newest migration",
        bad.ahead,
        expects="deploy-matching",
        finds=_FINDS,
        damages=True,
        undoes=True,
    ),
    Symptom(
        "diverged",
        "the database has a migration of another branch, and lacks one of the code",
        bad.diverged,
        finds=_FINDS,
    ),
    Symptom(
        "behind-and-losing",
        "the missing migration drops a column, and somebody wants it applied",
        bad.behind_losing,
        asks="upgrade",
        finds=_FINDS,
        damages=True,
        ends="failed, undone",
        in_plan=True,
        says="can lose data",
    ),
    Symptom(
        "table-locked",
        "the table that the migration changes is locked",
        all_of(bad.behind, holders.lock("public.bookings")),
        kind="failing step",
        expects="upgrade",
        finds=_FINDS,
        damages=True,
        ends="failed, undone",
        says="lock timeout",
        relief=holders.unlock,
        then="again",
    ),
    Symptom(
        "no-fresh-backup",
        "the missing migration could not be taken back: no backup was made for three nights",
        all_of(bad.behind, backups.lose_nights),
        kind="failing dependency",
        expects="upgrade",
        finds=_FINDS,
        damages=True,
        ends="failed, undone",
        in_plan=True,
        says="a migration is taken back by a backup from before it",
    ),
)


class MigrationsNotCurrent(Case):
    """Outside is a customer who looks at bookings; the picture is checkout, release, settings and data."""

    runbook = "migrations-not-current"
    parts: ClassVar = frozenset({"database", "backups", "deployments", "services"})
    default = "behind"
    symptoms = _SYMPTOMS
    # The newest uploads of the stand-in are decoys, which a diagnosis has to see at any time.
    always_fails: ClassVar = frozenset({"backup_size_trend"})

    def problem_outside(self, stack: Stack) -> str:
        """Look at bookings, and at the readiness, by the public address."""
        return outside_cleaning.problem(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take checkout, release, settings and data."""
        return outside_deployments.picture(stack)

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:  # noqa: ARG002
        """Accept the backup of last night: the stand-in makes none by itself."""
        return {"deploy_backup_max_age_hours": 26} if fault.mitigation == "upgrade" else {}

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """See that the database has exactly what the code brings."""
        found = super().verified(stack, fault, before)
        facts = stack.facts["postgres"]
        rows = stack.server().execute(
            "SELECT version FROM public.schema_migrations ORDER BY 1", database=facts["database"]
        )
        brought = sorted(path.stem for path in (bad.checkout(stack) / "migrations").glob("*.sql"))
        if [row[0] for row in rows] != brought:
            found.append(f"applied is {rows}, the code brings {brought}")
        return found

    @property
    def proof(self) -> str:
        """What was seen."""
        return "bookings can be looked at, and the database has exactly the migrations of the code that runs"


CASE = MigrationsNotCurrent
