"""break-glass-access: a write cannot wait while administrators may only read; or a token was left behind."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from runbook.rehearsal import outside_cleaning
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import access, services
from runbook.rehearsal.symptoms.together import all_of

# What every use leaves in these tables is what they are for.
_NOTED = ("public.admin_audit", "public.break_glass_tokens")


def _another_password(stack: Stack) -> None:
    services.run_with("api", ADMIN_BASIC_PASSWORD="canary-" + secrets.token_hex(16))(stack)


_SYMPTOMS = (
    Symptom(
        "write-cannot-wait",
        "administrators may only read, and a booking has to be cancelled at once",
        access.need_write,
        expects="emergency-write",
        finds=("admin_mode",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "token-left-open",
        "somebody asked for a token and never revoked it: whoever has it can write past the protection",
        access.leave_open,
        expects="revoke-open",
        finds=("break_glass_open",),
    ),
    Symptom(
        "write-fails",
        "the write itself fails: the token must not stay behind",
        all_of(access.need_write, services.tell("api", bookings="deadlock detected")),
        kind="failing step",
        expects="emergency-write",
        finds=("admin_mode",),
        damages=True,
        ends="failed, undone",
        says="status 500",
        relief=services.tell("api"),
        then="again",
    ),
    Symptom(
        "write-not-listed",
        "somebody wants a write that the inventory does not list",
        access.need_write,
        kind="failing step",
        expects="emergency-write",
        finds=("admin_mode",),
        damages=True,
        ends="failed, undone",
        in_plan=True,
        says="not among the calls that are allowed",
    ),
    Symptom(
        "wrong-password",
        "the administrator's password is another than the one that was kept",
        all_of(access.need_write, _another_password),
        kind="failing dependency",
        asks="emergency-write",
        finds=("admin_login",),
        damages=True,
        ends="failed, undone",
        in_plan=True,
        says="401",
    ),
    Symptom(
        "api-down",
        "the API is gone, so nobody can be asked for a token",
        all_of(access.need_write, services.kill("api")),
        services.start("api"),
        kind="failing dependency",
        unsure=("admin_mode", "break_glass_open"),
    ),
)


class BreakGlassAccess(Case):
    """Outside is the booking that has to be another, and every token; the picture is settings and data."""

    runbook = "break-glass-access"
    parts: ClassVar = frozenset({"database", "services"})
    default = "write-cannot-wait"
    symptoms = _SYMPTOMS

    def problem_outside(self, stack: Stack) -> str:
        """Look at the booking, and at the tokens."""
        return access.problem(stack)

    def healthy(self, stack: Stack) -> str:
        """See that a token is good until it is revoked or has expired."""
        access.prove_tokens(stack)
        return super().healthy(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take settings and data, but for what notes who had access."""
        taken = outside_cleaning.picture(stack)
        for part in ("database rows", "database sequences"):
            taken[part] = {name: told for name, told in taken[part].items() if not name.startswith(_NOTED)}
        return taken

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:
        """Name the booking, and say why."""
        if fault.mitigation != "emergency-write":
            return {}
        return {
            "access_call": "delete-customer" if fault.name == "write-not-listed" else "cancel-booking",
            "access_objects": [access.needed(stack)],
            "access_reason": 'the cleaner\'s "car" broke down',
            "access_incident": "INC-7",
            "access_approver": "the backend lead",
            "access_ttl_minutes": 5,
        }

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Also see that who did what is noted, that no log has a token, and that none is good any more."""
        found = super().verified(stack, fault, before)
        found += [f"{name} holds a break-glass token" for name in access.leaked(stack)]
        if fault.expects == "emergency-write":
            booking, noted = access.needed(stack), access.audit(stack)
            if access.write_without(stack, booking) != 403:
                found.append("a write without a token is not refused")
            found += _not_noted(noted)
        return found

    @property
    def proof(self) -> str:
        """What was seen."""
        return "what had to be written is, nothing else is another, and no token is good or in any log"


def _not_noted(noted: list[tuple[Any, ...]]) -> list[str]:
    wanted = {"break_glass.start", "booking.cancel", "break_glass.revoke"}
    seen = {action for action, by_token, why in noted if by_token and "INC-7" in (why or "")}
    return [f"the audit has no {action} of this incident" for action in sorted(wanted - seen)]


CASE = BreakGlassAccess
