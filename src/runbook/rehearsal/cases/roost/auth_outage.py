"""auth-outage: auth is down, or what it signs with is lost, too short, or not what the others check with."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from runbook.rehearsal import outside_services
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.parts import services as running
from runbook.rehearsal.services.tokens import MIN_SECRET
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import database, holders, services

_SECRET = "AUTH_JWT_SECRET"  # noqa: S105 - its name
_ALL = ("auth", "relay", "owl_api")
_EXTENDED_S = 7200
# A login makes tokens.
_LOGIN_WRITES = ("public.api_tokens", "public.refresh_tokens")

_SYMPTOMS = (
    Symptom(
        "auth-killed",
        "auth is gone: nobody can log in",
        services.kill("auth"),
        services.start("auth"),
        expects="restart-auth",
        finds=("service_runtime", "login_round_trip"),
    ),
    Symptom(
        "auth-frozen",
        "auth is frozen: it takes connections and does not answer",
        services.send("auth", signal.SIGSTOP),
        services.send("auth", signal.SIGCONT),
        expects="restart-auth",
        finds=("service_health",),
    ),
    Symptom(
        "secret-lost-from-process",
        "auth runs without its secret, which is still in the file of settings",
        services.run_with("auth", AUTH_JWT_SECRET=None),
        services.start("auth"),
        expects="recreate-auth",
        finds=("service_settings", "login_round_trip"),
    ),
    Symptom(
        "secret-differs",
        "auth signs with another secret than everybody checks with: new tokens are refused",
        services.another_secret("auth"),
        services.start("auth"),
        expects="recreate-auth",
        finds=("token_accepted",),
    ),
    Symptom(
        "secret-lost",
        "the secret is neither in the file of settings nor in any service",
        services.change_settings(*_ALL, AUTH_JWT_SECRET=None),
        expects="rotate-secret",
        finds=("service_settings", "login_round_trip"),
        damages=True,
    ),
    Symptom(
        "secret-too-short",
        "the secret was replaced by one that is too short to sign with",
        services.change_settings(*_ALL, AUTH_JWT_SECRET="canary-short"),  # noqa: S106 - a canary
        expects="rotate-secret",
        finds=("service_settings", "login_round_trip"),
        damages=True,
    ),
    Symptom(
        "tokens-expire-at-once",
        "somebody set the lifetime of tokens to nothing: every token is void when it is issued",
        services.change_settings("auth", AUTH_JWT_EXPIRY="0"),
        services.change_settings("auth", AUTH_JWT_EXPIRY="3600"),
        asks="extend-token-lifetime",
        finds=("token_accepted",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "auth-port-taken",
        "another program has taken auth's port: auth is gone and cannot come back",
        holders.take_port("auth"),
        kind="failing step",
        expects="restart-auth",
        finds=("service_runtime", "login_round_trip"),
        ends="failed",
        says="auth",
        relief=holders.give_port_back("auth"),
        then="resume",
    ),
    Symptom(
        "new-secret-not-taken",
        "the secret is lost, and while a new one is put in place relay does not come back",
        services.change_settings(*_ALL, AUTH_JWT_SECRET=None),
        kind="failing step",
        expects="rotate-secret",
        finds=("service_settings", "login_round_trip"),
        damages=True,
        later=holders.take_port("relay"),
        ends="failed",
        says="relay",
        relief=holders.give_port_back("relay"),
        then="resume",
    ),
    Symptom(
        "rotation-cut-short",
        "auth signs with another secret; somebody rotates it, and relay does not come back meanwhile",
        services.another_secret("auth"),
        kind="failing step",
        expects="recreate-auth",
        asks="rotate-secret",
        finds=("token_accepted",),
        damages=True,
        undoes=True,
        later=holders.take_port("relay"),
        ends="failed",
        says="not proved to be back",
        relief=holders.give_port_back("relay"),
        then="resume",
    ),
    Symptom(
        "database-gone",
        "the database is down: a matter of its own runbook, for which this one has nothing",
        database.kill,
        database.start_database,
        kind="failing dependency",
        finds=("service_runtime", "login_round_trip"),
    ),
    Symptom(
        "tunnel-gone",
        "nobody gets in from outside, and auth is well: a matter of the runbook for streams",
        services.kill("tunnel"),
        services.start("tunnel"),
        kind="failing dependency",
        finds=("login_round_trip",),
    ),
)


class AuthOutage(Case):
    """Outside is a subscriber who logs in and watches; the picture is settings and data, without tokens."""

    runbook = "auth-outage"
    parts = frozenset({"database", "services"})
    default = "auth-killed"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"restart-auth": ("recreate-auth",)}

    def problem_outside(self, stack: Stack) -> str:
        """Log in, have the token verified, and watch a stream with it."""
        return outside_services.log_in_and_watch(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take the state of the services; a login writes tokens, which are no difference."""
        return outside_services.picture(stack, ignore=_LOGIN_WRITES)

    def differences(self, before: Any, after: Any, *, undone: bool = False) -> list[str]:
        """Compare two states; whatever is taken back, every service has read the file anew."""
        file = before.get(f"setting {_SECRET}", "not set")
        read = {name: file for name in before if undone and name.endswith(f"runs with {_SECRET}")}
        return super().differences({**before, **read}, after, undone=undone)

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:  # noqa: ARG002 - the shared signature
        """Let tokens live longer by a value of our own, so that it can be told from a default."""
        if fault.mitigation != "extend-token-lifetime":
            return {}
        return {"service_extend_seconds": _EXTENDED_S, "service_extend_minutes": 30}

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Also look at the secret after a rotation, and at a new token after an extension."""
        found = super().verified(stack, fault, before)
        if fault.mitigation == "rotate-secret":
            found += self._rotated(stack, before)
        if fault.mitigation == "extend-token-lifetime":
            lifetime = outside_services.lifetime(stack)
            found += [] if lifetime == _EXTENDED_S else [f"a new token lives {lifetime} seconds"]
        return found

    def _rotated(self, stack: Stack, before: Any) -> list[str]:
        secret = running.read_settings(stack.facts).get(_SECRET, "")
        found = [] if len(secret) >= MIN_SECRET else [f"the new secret has {len(secret)} characters"]
        for name in _ALL:
            if running.environment_of(stack.facts, name).get(_SECRET) != secret:
                found.append(f"{name} does not run with the secret of the file")
        if not outside_services.watch(stack):
            found.append("a token that was signed with the old secret is still good")
        now = self.picture(stack)
        kept = {key: value for key, value in before.items() if _SECRET not in key}
        return found + self.differences(kept, {key: now[key] for key in kept})

    @property
    def proof(self) -> str:
        """What was seen."""
        return "a login works, and its token is good for a stream; settings and data are what they have to be"


CASE = AuthOutage
