"""stream-outage: relay, owl_api, the tunnel, the CDN or the disk keep subscribers from watching."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from runbook.rehearsal import outside_services
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import database, disk, holders, services

_SYMPTOMS = (
    Symptom(
        "relay-killed",
        "relay is gone: nothing can be watched",
        services.kill("relay"),
        services.start("relay"),
        expects="restart-services",
        finds=("service_runtime", "canary_stream"),
    ),
    Symptom(
        "relay-frozen",
        "relay is frozen: it takes connections and does not answer",
        services.send("relay", signal.SIGSTOP),
        services.send("relay", signal.SIGCONT),
        expects="restart-services",
        finds=("service_health",),
    ),
    Symptom(
        "owl-api-out-of-order",
        "owl_api answers everything with 503",
        services.tell("owl_api", status=503, error="connection pool exhausted"),
        services.tell("owl_api"),
        expects="restart-services",
        finds=("service_health", "canary_stream"),
    ),
    Symptom(
        "tunnel-down",
        "the tunnel has lost its connections to the edge: nobody gets in",
        services.tell("tunnel", connections=0),
        services.tell("tunnel"),
        expects="restart-tunnel",
        finds=("tunnel_connections", "public_health"),
    ),
    Symptom(
        "tunnel-killed",
        "the tunnel's program is gone",
        services.kill("tunnel"),
        services.start("tunnel"),
        expects="restart-tunnel",
        finds=("public_health",),
    ),
    Symptom(
        "cdn-unhealthy",
        "the active origin of the CDN answers with errors",
        services.tell("cloudflare", status=503, error="origin error"),
        services.tell("cloudflare"),
        expects="failover-cdn",
        finds=("cdn_health",),
        undoes=True,
        heals_first=True,
    ),
    Symptom(
        "tokens-refused",
        "owl_api refuses every token: a matter of auth, for which this runbook has nothing",
        services.another_secret("owl_api"),
        services.start("owl_api"),
        finds=("canary_auth",),
    ),
    Symptom(
        "disk-full",
        "no byte is free on the disk: relay cannot write",
        disk.fill,
        disk.free,
        expects="free-disk",
        finds=("data_disk",),
    ),
    Symptom(
        "relay-port-taken",
        "another program has taken relay's port: relay is gone and cannot come back",
        holders.take_port("relay"),
        kind="failing step",
        expects="restart-services",
        finds=("service_runtime", "canary_stream"),
        ends="failed",
        says="relay",
        relief=holders.give_port_back("relay"),
        then="resume",
    ),
    Symptom(
        "no-origin-left",
        "the active origin of the CDN is out of order, and the other one fails just when it is needed",
        services.tell("cloudflare", status=503, error="origin error"),
        services.tell("cloudflare"),
        kind="failing step",
        expects="failover-cdn",
        finds=("cdn_health",),
        undoes=True,
        heals_first=True,
        later=services.tell("bunny", status=503, error="origin error"),
        ends="failed, undone",
        says="bunny",
        relief=services.tell("bunny"),
        then="again",
    ),
    Symptom(
        "database-gone",
        "the database is down: a matter of its own runbook, for which this one has nothing",
        database.kill,
        database.start_database,
        kind="failing dependency",
        finds=("service_runtime", "canary_stream"),
    ),
)


class StreamOutage(Case):
    """Outside is a subscriber who watches; the picture is settings, the active origin and the database."""

    runbook = "stream-outage"
    parts = frozenset({"database", "services"})
    default = "relay-killed"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"restart-services": ("restart-tunnel",)}

    def problem_outside(self, stack: Stack) -> str:
        """Watch a stream by the public address."""
        return outside_services.watch(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take the state of the services."""
        return outside_services.picture(stack)

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Also see that after a failover another origin serves."""
        found = super().verified(stack, fault, before)
        if fault.expects == "failover-cdn" and outside_services.served_by(stack) == "cloudflare":
            found.append("streams still come by the origin that is out of order")
        return found

    @property
    def proof(self) -> str:
        """What was seen."""
        return "a stream can be watched by the public address; settings and data are what they have to be"


CASE = StreamOutage
