"""service-outage: the API is gone, frozen, out of order, or what it stands on is."""

from __future__ import annotations

import signal
from typing import Any, ClassVar
from urllib.parse import urlsplit

from runbook.rehearsal import outside_cleaning
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.parts import services as running
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import database, services


def _another_port(stack: Stack, port: int) -> None:
    url = running.read_settings(stack.facts)["DATABASE_URL"]
    running.write_settings(stack.facts, {"DATABASE_URL": url.replace(f":{urlsplit(url).port}/", f":{port}/")})


def _crash_with_wrong_settings(stack: Stack) -> None:
    _another_port(stack, 1)
    services.kill("api")(stack)


def _right_settings(stack: Stack) -> None:
    _another_port(stack, stack.facts["postgres"]["port"])
    services.start("api")(stack)


_SYMPTOMS = (
    Symptom(
        "api-killed",
        "the API is gone",
        services.kill("api"),
        services.start("api"),
        expects="restart-service",
        finds=("service_runtime", "service_ready", "public_ready"),
    ),
    Symptom(
        "api-frozen",
        "the API is frozen: it takes connections and does not answer",
        services.send("api", signal.SIGSTOP),
        services.send("api", signal.SIGCONT),
        expects="restart-service",
        finds=("service_health", "service_ready"),
    ),
    Symptom(
        "api-out-of-order",
        "the API answers everything with 500",
        services.tell("api", status=500, error="worker pool exhausted"),
        services.tell("api"),
        expects="restart-service",
        finds=("service_health", "public_health"),
    ),
    Symptom(
        "readyz-html",
        "the API is alive, and its readiness address answers 200 with a page instead of JSON",
        services.tell("api", readyz={"text": "<html>It works!</html>"}),
        services.tell("api"),
        expects="restart-service",
        finds=("service_ready", "public_ready"),
    ),
    Symptom(
        "settings-lost-from-process",
        "the API runs without its DATABASE_URL, which is still in the file",
        services.run_with("api", DATABASE_URL=None),
        services.start("api"),
        expects="recreate-service",
        finds=("service_settings", "service_ready"),
    ),
    Symptom(
        "readyz-denies-database",
        "the readiness address answers 200, and its body says that no database is connected",
        services.tell("api", readyz={"json": {"db_connected": False, "migrations_current": True}}),
        services.tell("api"),
        finds=("service_ready", "database_connected"),
    ),
    Symptom(
        "proxy-out-of-order",
        "the proxy before the API answers 502; the host itself sees a healthy API",
        services.tell("proxy", status=502, error="bad gateway"),
        services.tell("proxy"),
        finds=("public_health", "public_ready"),
    ),
    Symptom(
        "database-down",
        "the database is gone, and somebody wants the API restarted",
        database.kill,
        database.start_database,
        kind="failing dependency",
        asks="restart-service",
        finds=("service_ready", "database_connected"),
        ends="failed, undone",
        in_plan=True,
        says="Nothing was restarted",
    ),
    Symptom(
        "comes-back-broken",
        "the API crashed, and its file of settings names a database that is not there",
        _crash_with_wrong_settings,
        _right_settings,
        kind="failing step",
        expects="restart-service",
        finds=("service_runtime", "service_ready"),
        damages=True,
        ends="not verified",
        says="db_connected is false",
    ),
)


class ServiceOutage(Case):
    """Outside is a customer who looks at his bookings; the picture is settings and data."""

    runbook = "service-outage"
    parts: ClassVar = frozenset({"database", "services"})
    default = "api-killed"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"restart-service": ("recreate-service",)}

    def problem_outside(self, stack: Stack) -> str:
        """Look at bookings, and at the readiness, by the public address."""
        return outside_cleaning.problem(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take settings and data."""
        return outside_cleaning.picture(stack)

    @property
    def proof(self) -> str:
        """What was seen."""
        return "bookings can be looked at, the API is ready for the public; settings and data are the same"


CASE = ServiceOutage
