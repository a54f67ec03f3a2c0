# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait until the commit that was deployed is the one that runs, and serves."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import running_sha, same_commit
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import health_predicate

_PAUSE = 0.3


def runs_already(running: Mapping[str, Any], sha: str) -> bool:
    """Whether `sha` runs; where nobody tells what runs, the checkout's word is taken."""
    if running["kind"] == "none":
        return True
    return not _another(running, sha)


def _another(running: Mapping[str, Any], sha: str) -> str:
    """Return why `sha` is not what runs, "" when it is or when nobody tells."""
    if running["kind"] == "none":
        return ""
    try:
        told = running_sha(running)
    except OncallError as exc:
        return exc.message
    return "" if same_commit(told, sha) else "what runs is %s, not %s" % (told[:12], sha[:12])


def wait_ready(
    params: Mapping[str, Any], sha: str, *, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Wait until `sha` runs and every address of `ready` answers as it should.

    Raises VerificationError with the last state seen when it is not so after `ready_timeout` seconds.
    """
    deadline = clock() + params["ready_timeout"]
    while True:
        problem = not_ready(params, sha)
        if not problem:
            return
        if clock() > deadline:
            raise VerificationError(
                "see %s serve" % sha[:12],
                got="after %g s: %s" % (params["ready_timeout"], problem),
                next_step="read the logs of the services; the cause may not be the deployment",
                kind="not_ready",
            )
        sleep(_PAUSE)


def not_ready(params: Mapping[str, Any], sha: str) -> str:
    """Return what is not as it should be, "" when all is."""
    problem = _another(params["running"], sha)
    for health in () if problem else params["ready"]:
        problem = problem or health_predicate(health)()
    return problem
