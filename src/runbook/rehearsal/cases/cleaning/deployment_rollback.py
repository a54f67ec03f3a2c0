"""deployment-rollback: a bad commit is live, or what is checked out is not what runs."""

from __future__ import annotations

from typing import Any, ClassVar

from runbook.rehearsal import outside_cleaning, outside_deployments
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import deployments as bad

_SYMPTOMS = (
    Symptom(
        "bad-deploy",
        "a commit with a slip in a query was deployed: bookings cannot be looked at",
        bad.bad,
        expects="rollback",
        finds=("canary_request",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "hot-fixes-on-host",
        "the same, and somebody has tried out on the host what is in no commit",
        bad.bad_with_hot_fixes,
        expects="rollback",
        finds=("canary_request",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "detached",
        "the same, on a checkout that is on no branch",
        bad.bad_and_detached,
        expects="rollback",
        finds=("canary_request",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "half-deployed",
        "the commit that mends it was pulled, and nobody ran the deploy script",
        bad.half_deployed,
        expects="redeploy",
        finds=("canary_request", "deploy_running"),
        damages=True,
    ),
    Symptom(
        "schema-too-new",
        "the bad commit came with a migration: no earlier code knows this schema",
        bad.bad_with_migration,
        kind="failing dependency",
        asks="rollback",
        finds=("canary_request",),
        damages=True,
        ends="failed, undone",
        in_plan=True,
        says="older than the schema allows",
    ),
    Symptom(
        "script-pulls",
        "the deploy script of the good commit takes whatever is newest",
        bad.pulls,
        kind="failing step",
        expects="rollback",
        finds=("canary_request",),
        damages=True,
        ends="failed, undone",
        says="it pulls or resets by itself",
    ),
    Symptom(
        "script-fails",
        "the deploy script of the good commit fails half-way",
        bad.fails,
        kind="failing step",
        expects="rollback",
        finds=("canary_request",),
        damages=True,
        ends="failed, undone",
        says="no space left on device",
    ),
)


class DeploymentRollback(Case):
    """Outside is a customer who looks at bookings; the picture is checkout, release, settings and data."""

    runbook = "deployment-rollback"
    parts: ClassVar = frozenset({"database", "deployments", "services"})
    default = "bad-deploy"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {"rollback": ("redeploy",)}

    def problem_outside(self, stack: Stack) -> str:
        """Look at bookings, and at the readiness, by the public address."""
        return outside_cleaning.problem(stack)

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take checkout, release, settings and data."""
        return outside_deployments.picture(stack)

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:
        """Name the commit where a person insists on it."""
        return {"deploy_sha": stack.facts["deployments"]["good"]} if fault.asks else {}

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """See that the right commit runs, and that what was in no commit is kept twice."""
        found = super().verified(stack, fault, before)
        good = stack.facts["deployments"]["good"]
        if fault.expects == "rollback" and outside_deployments.live(stack) != good:
            found.append("what runs is not the last good commit")
        if fault.name == "hot-fixes-on-host":
            kept = outside_deployments.kept(stack, "CHANGES"), outside_deployments.kept(stack, "notes.txt")
            if kept != ("a hot fix that is in no commit", "what was tried"):
                found.append("the hot fixes are on no branch")
            if "+a hot fix that is in no commit" not in outside_deployments.patches(stack):
                found.append("the hot fixes are in no patch")
        return found

    @property
    def proof(self) -> str:
        """What was seen."""
        return "bookings can be looked at, and the commit that had to be deployed is the one that runs"


CASE = DeploymentRollback
