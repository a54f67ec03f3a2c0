"""security-breach: somebody reads subscribers as an administrator and signs tokens with the stolen secret."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from runbook.rehearsal import outside, outside_services
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.parts import services
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import breach, database, holders
from runbook.rehearsal.symptoms.together import all_of

_TABLES = ("api_tokens", "refresh_tokens", "owl_sessions")
# What was so before the run has to be so after it: whatever it adds is newer than the fault.
_EARLIER = """SELECT count(*), md5(string_agg(id::text || revoked_at::text, ',' ORDER BY id)) FROM public.{}
WHERE revoked_at <= %s"""
_LIVE = "SELECT count(*) FROM public.{} WHERE revoked_at IS NULL AND created_at <= %s"
_FORCED = "SELECT array_agg(id ORDER BY id) FROM public.subscribers WHERE force_password_reset"

_SYMPTOMS = (
    Symptom(
        "intruder",
        "an administrator that nobody knows exported subscribers from an address never seen before",
        breach.intruder,
        expects="contain",
        finds=("audit_admins",),
        damages=True,
    ),
    Symptom(
        "taken-over-administrator",
        "a known administrator acts from an address never used before",
        breach.taken_over,
        expects="contain",
        finds=("audit_admins",),
        damages=True,
    ),
    Symptom(
        "bulk-export",
        "a known administrator exported hundreds of subscribers within an hour",
        breach.bulk_export,
        expects="contain",
        finds=("audit_bursts",),
        damages=True,
    ),
    Symptom(
        "tokens-leaked",
        "the same intruder, and somebody decides that revoking tokens is enough",
        breach.intruder,
        expects="contain",
        asks="revoke-tokens",
        finds=("audit_admins",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "passwords-exposed",
        "the same intruder, and somebody decides to require new passwords first",
        breach.intruder,
        expects="contain",
        asks="require-password-reset",
        finds=("audit_admins",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "secret-exposed",
        "the same intruder, and somebody decides that the secret is what was exposed",
        breach.intruder,
        expects="contain",
        asks="rotate-secret",
        finds=("audit_admins",),
        damages=True,
    ),
    Symptom(
        "evidence-first",
        "the same intruder, and somebody decides to keep the evidence before anything else",
        breach.intruder,
        expects="contain",
        asks="capture-evidence",
        finds=("audit_admins",),
        damages=True,
    ),
    Symptom(
        "notices-due",
        "the same intruder, and the authority has to be told of what is known by now",
        breach.intruder,
        expects="contain",
        asks="draft-notices",
        finds=("audit_admins",),
        damages=True,
    ),
    Symptom(
        "breach-over",
        "the breach was contained, and the note that it is being handled is still there",
        breach.contained,
        expects="contain",
        asks="end-breach",
        finds=("audit_admins",),
        damages=True,
    ),
    Symptom(
        "tokens-locked",
        "a migration that hangs locks the tokens just when they are to be revoked",
        breach.intruder,
        kind="failing step",
        expects="contain",
        finds=("audit_admins",),
        damages=True,
        later=holders.lock("public.api_tokens"),
        ends="failed",
        says="lock",
        relief=holders.unlock,
        then="resume",
    ),
    Symptom(
        "relay-stays-down",
        "relay does not come back with the new secret",
        breach.intruder,
        kind="failing step",
        expects="contain",
        finds=("audit_admins",),
        damages=True,
        later=holders.take_port("relay"),
        ends="failed",
        says="relay",
        relief=holders.give_port_back("relay"),
        then="resume",
    ),
    Symptom(
        "database-gone",
        "the database is down: the audit log cannot be read, and nothing can be judged",
        all_of(breach.intruder, database.kill),
        database.start_database,
        kind="failing dependency",
        unsure=("audit_log",),
    ),
)


# Faults whose suspect is an administrator that everybody knows.
_KNOWN_ACTOR = ("taken-over-administrator", "bulk-export")


class SecurityBreach(Case):
    """Outside is the thief: as long as the stolen token opens a stream, nothing is contained."""

    runbook = "security-breach"
    parts = frozenset({"database", "services"})
    default = "intruder"
    symptoms = _SYMPTOMS
    includes: ClassVar = {
        "contain": (
            "capture-evidence",
            "revoke-tokens",
            "rotate-secret",
            "require-password-reset",
            "draft-notices",
        )
    }
    _stolen_by: Any = None

    def problem_outside(self, stack: Stack) -> str:
        """Watch as the thief does; without a thief as a subscriber does."""
        # A thief who sees nothing because nobody does is not shut out.
        if error := outside.service_error(stack):
            return error
        stolen = breach.stolen_token(stack)
        if not stolen:
            handled = breach.note(stack).exists()
            return "a breach is being handled" if handled else outside_services.watch(stack)
        return "" if outside_services.watch(stack, stolen) else "a stolen token opens every stream"

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:  # noqa: ARG002
        """Return whom the on-call suspects after reading the findings."""
        actor = "1" if fault.name in _KNOWN_ACTOR else str(breach.THIEF)
        return {"breach_actors": [actor], "breach_reset_scope": "affected"}

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take what must stand whatever is contained: earlier revocations, and of whom a password was due."""
        ask = stack.server().execute
        if not self._stolen_by and breach.stolen_token(stack):
            # Tokens that somebody gets from now on are none of the thief's.
            self._stolen_by = ask("SELECT now()")[0][0]
        until = self._stolen_by or ask("SELECT now()")[0][0]
        taken: dict[str, Any] = {}
        for name in _TABLES:
            earlier = ask(_EARLIER.format(name), (until,), database=stack.database)[0]
            taken[f"revocations of {name}"] = list(earlier)
            taken[f"active {name}"] = ask(_LIVE.format(name), (until,), database=stack.database)[0][0]
        file = services.read_settings(stack.facts)["AUTH_JWT_SECRET"]
        return taken | {
            "subscribers who need a new password": ask(_FORCED, database=stack.database)[0][0] or [],
            "the secret": hashlib.sha256(file.encode()).hexdigest(),
        }

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """See that the thief is out, earlier facts stand, and exactly those concerned need a new password."""
        now = self.picture(stack)
        if fault.mitigation == "require-password-reset":
            return _passwords(fault, now)
        if fault.mitigation in _LOOK:
            return self.differences(before, now) + _LOOK[fault.mitigation](stack, self.records)
        problem = self.problem_outside(stack)
        found = [problem] if problem else []
        for name in _TABLES:
            if now[f"revocations of {name}"] != before[f"revocations of {name}"]:
                found.append(f"earlier revocations of {name} are not what they were")
            if now[f"active {name}"] and fault.mitigation != "rotate-secret":
                found.append(f"{now[f'active {name}']} of {name} are still active")
        if fault.mitigation == "revoke-tokens":
            return found
        if now["the secret"] == before["the secret"]:
            found.append("the secret is still the stolen one")
        return found + (_passwords(fault, now) if fault.mitigation == "contain" else [])

    def differences(self, before: Any, after: Any, *, undone: bool = False) -> list[str]:
        """Compare two states; after a breach the secret never comes back."""
        kept = {key: value for key, value in after.items() if not (undone and key == "the secret")}
        return super().differences({key: before[key] for key in before if key in kept}, kept, undone=undone)

    @property
    def proof(self) -> str:
        """What was seen."""
        return "what was asked for was done and nothing else; earlier revocations stand as they were"


def _evidence(stack: Stack, records: Sequence[Path]) -> list[str]:
    """The evidence tells of the thief, on the host and in a copy that is away from it."""
    kept = breach.evidence(stack)
    told = [name for name, text in kept.items() if breach.ADDRESS.encode() in text]
    copies = [path.read_bytes() for record in records for path in (record / "evidence").glob("*")]
    found = (
        [] if told else [f"no file of the evidence tells of the thief: {', '.join(kept) or 'there is none'}"]
    )
    return found + [f"there is no copy of {name}" for name, text in kept.items() if text not in copies]


def _drafts(_stack: Stack, records: Sequence[Path]) -> list[str]:
    """Both drafts are there, and say how many people are concerned."""
    drafts = [path for record in records for path in (record / "evidence").glob("notice-*.md")]
    wrong = [p.name for p in drafts if str(len(breach.VICTIMS)) not in p.read_text()]
    found = [f"{name} does not say that {len(breach.VICTIMS)} people are concerned" for name in wrong]
    missing = {"notice-authority.md", "notice-subscribers.md"} - {path.name for path in drafts}
    return found + [f"{name} was not drafted" for name in sorted(missing)]


def _over(stack: Stack, _records: Sequence[Path]) -> list[str]:
    return ["the note of the breach is still there"] if breach.note(stack).exists() else []


# Mitigations that shut nobody out, and what has to be there afterwards.
_LOOK: dict[str, Callable[[Stack, Sequence[Path]], list[str]]] = {
    "capture-evidence": _evidence,
    "draft-notices": _drafts,
    "end-breach": _over,
}


def _passwords(fault: Symptom, now: dict[str, Any]) -> list[str]:
    wanted = list(range(100, 400)) if fault.name == "bulk-export" else list(breach.VICTIMS)
    if now["subscribers who need a new password"] != wanted:
        return ["not exactly those whose data was read need a new password"]
    return []


CASE = SecurityBreach
