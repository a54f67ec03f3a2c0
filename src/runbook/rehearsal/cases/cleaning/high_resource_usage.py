"""high-resource-usage: a query, a job or a service uses too much, or its limit is too small."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from runbook.rehearsal import outside_cleaning
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import database, services, usage

_SYMPTOMS = (
    Symptom(
        "service-leaks",
        "the API keeps more and more memory: it is at its limit",
        usage.leak,
        services.start("api"),
        expects="restart-service",
        finds=("service_usage",),
    ),
    Symptom(
        "query-without-end",
        "a report asks something that does not end",
        usage.ask_for_long,
        usage.stop_asking,
        expects="cancel-queries",
        finds=("postgres_queries",),
    ),
    Symptom(
        "job-runs-away",
        "an export that nobody waits for takes a processor",
        usage.run_away,
        usage.end_job,
        expects="pause-process",
        finds=("process_usage",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "limit-too-small",
        "the API has come to need nearly all that it may have, right after its start, too",
        usage.make_limit_small,
        asks="raise-limit",
        expects="restart-service",
        finds=("service_usage",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "no-headroom",
        "somebody wants to give the API more than the host has",
        usage.make_limit_small,
        kind="failing step",
        asks="raise-limit",
        expects="restart-service",
        finds=("service_usage",),
        damages=True,
        ends="failed, undone",
        in_plan=True,
        says="the host can give it",
    ),
    Symptom(
        "query-comes-back",
        "the report asks again as soon as its query is cancelled",
        usage.ask_again_and_again,
        usage.stop_asking,
        kind="failing step",
        expects="cancel-queries",
        finds=("postgres_queries",),
        ends="not verified",
        says="query",
    ),
    Symptom(
        "another-process",
        "the number that somebody wants to pause belongs to a service",
        usage.run_away,
        usage.end_job,
        kind="failing step",
        expects="pause-process",
        finds=("process_usage",),
        ends="failed, undone",
        in_plan=True,
        says="it belongs to the service",
    ),
    Symptom(
        "database-frozen",
        "the database does not answer: its queries cannot be looked at, and nothing here is to blame",
        database.send(signal.SIGSTOP),
        database.send(signal.SIGCONT),
        kind="failing dependency",
        finds=("postgres_answers",),
        unsure=("postgres_queries",),
    ),
)


class HighResourceUsage(Case):
    """Outside are the alerts, and a customer who looks at his bookings."""

    runbook = "high-resource-usage"
    parts: ClassVar = frozenset({"database", "services", "deployments"})
    default = "service-leaks"
    symptoms = _SYMPTOMS

    def problem_outside(self, stack: Stack) -> str:
        """Be a customer, then the alerts."""
        problem = outside_cleaning.problem(stack)
        if problem:
            return problem
        used, asked = usage.api_percent(stack), usage.longest_query(stack)
        alerts = {
            f"the API uses {used:.0f} % of its memory": used > usage.LIMIT_PERCENT,
            f"a query runs for {asked:.0f} s": asked > 1,
            f"{usage.JOB} takes a processor": usage.job_runs(stack),
        }
        return "; ".join(alert for alert, rings in alerts.items() if rings)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take settings and data, and what the mitigations change."""
        return outside_cleaning.picture(stack) | usage.picture(stack)

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:
        """Give what a person reads in the findings."""
        if fault.mitigation == "raise-limit":
            limit = 1 << 60 if fault.name == "no-headroom" else usage.wanted_limit(stack)
            return {"service_limit_name": "api", "service_limit_bytes": limit}
        if fault.mitigation != "pause-process":
            return {}
        if fault.name == "another-process":
            return {"host_pause_pid": stack.server().pid, "host_pause_program": "postgres"}
        return {"host_pause_pid": usage.job_pid(stack), "host_pause_program": usage.JOB}

    @property
    def proof(self) -> str:
        """What was seen."""
        return "no alert rings, customers are served; settings and data are the same"


CASE = HighResourceUsage
