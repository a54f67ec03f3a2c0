"""job-scheduler-stale: the worker is gone, stuck or shut out, or what failed meanwhile waits for ever."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import database, jobs, services
from runbook.rehearsal.symptoms.together import all_of

_STUCK = all_of(services.tell("worker", stuck=True), jobs.silence)
_SYMPTOMS = (
    Symptom(
        "worker-killed",
        "the worker is gone, and its lock is still there",
        all_of(services.kill("worker"), jobs.silence),
        services.start("worker"),
        expects="restart-scheduler",
        finds=("service_runtime", "job_heartbeat"),
    ),
    Symptom(
        "worker-stuck",
        "the worker lives, holds the lock and does nothing",
        _STUCK,
        services.start("worker"),
        expects="restart-scheduler",
        finds=("job_heartbeat",),
    ),
    Symptom(
        "dead-owner",
        "a scheduler that is long gone holds the lock: the one that lives waits",
        jobs.leave_lock,
        expects="release-lock",
        finds=("job_lock", "job_heartbeat"),
    ),
    Symptom(
        "dead-letters",
        "messages failed while a provider was out of order: nobody sends them again",
        jobs.fill_dead_letters,
        expects="replay-dead-letters",
        finds=("job_dead_letters",),
    ),
    Symptom(
        "owner-lives",
        "somebody wants to take the lock from a scheduler that lives",
        _STUCK,
        services.start("worker"),
        kind="failing step",
        asks="release-lock",
        expects="restart-scheduler",
        finds=("job_heartbeat",),
        ends="failed, undone",
        in_plan=True,
        says="two schedulers at once run every job twice",
    ),
    Symptom(
        "cause-remains",
        "messages are queued again while what they failed of is still there",
        all_of(jobs.fill_dead_letters, services.tell("worker", fails="provider timed out")),
        services.tell("worker"),
        kind="failing step",
        expects="replay-dead-letters",
        finds=("job_dead_letters",),
        ends="failed",
        says="failed again",
        relief=services.tell("worker"),
        then="again",
    ),
    Symptom(
        "database-frozen",
        "the database does not answer: jobs cannot be looked at, and are not to blame",
        database.send(signal.SIGSTOP),
        database.send(signal.SIGCONT),
        kind="failing dependency",
        unsure=("job_heartbeat", "job_queue", "job_lock"),
    ),
)


class JobSchedulerStale(Case):
    """Outside is a message that is queued and has to be worked on, once. The picture is what ran twice."""

    runbook = "job-scheduler-stale"
    parts: ClassVar = frozenset({"database", "services"})
    default = "worker-killed"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"restart-scheduler": ("release-lock",)}

    def problem_outside(self, stack: Stack) -> str:
        """Queue a message, and count those that were never delivered."""
        try:
            waits = jobs.worked_on(stack)
            lost = jobs.undelivered(stack)
        except Exception as error:  # whatever the driver says of a database that is out of order
            return f"the queue cannot be used: {error}"
        return waits or (f"{lost} messages were never delivered" if lost else "")

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take what must never be: a message that was worked on twice."""
        return {"messages that ran twice": jobs.ran_twice(stack)}

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:  # noqa: ARG002
        """Choose what failed for the provider's sake."""
        if fault.mitigation != "replay-dead-letters":
            return {}
        return {"jobs_replay_kinds": ["receipt", "login_code"], "jobs_replay_error": "timed out"}

    @property
    def proof(self) -> str:
        """What was seen."""
        return "a message that is queued is worked on; nothing ran twice, nothing of use is left undelivered"


CASE = JobSchedulerStale
