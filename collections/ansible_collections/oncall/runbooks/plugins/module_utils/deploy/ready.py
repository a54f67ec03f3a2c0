# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait until the commit that was deployed is the one that runs, and serves."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import running_sha, same_commit
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import health_predicate

_PAUSE = 0.3


def runs_already(running: Mapping[str, Any], sha: str) -> bool:
    """Whether `sha` runs; where nobody tells what runs, the checkout's word is taken."""
    return not _what_runs(running, sha)[1]


def _what_runs(running: Mapping[str, Any], sha: str) -> Tuple[str, str]:
    """Return the id that is told, "" for none, and why that is not `sha`, "" when it is or nobody tells."""
    if running["kind"] == "none":
        return "", ""
    try:
        told = running_sha(running)
    except OncallError as exc:
        return "", exc.message
    return told, "" if same_commit(told, sha) else "what runs is %s, not %s" % (told[:12], sha[:12])


def wait_ready(
    params: Mapping[str, Any],
    sha: str,
    *,
    must_serve: bool,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Wait until `sha` runs and every address of `ready` answers as it should.

    Without `must_serve` it is enough that it runs, and after the time that nothing else does: what was bad
    before may not even start. Raises VerificationError with the last state seen when it is not so after
    `ready_timeout` seconds.
    """
    deadline = clock() + params["ready_timeout"]
    while True:
        told, problem = _what_runs(params["running"], sha)
        for health in params["ready"] if must_serve and not problem else ():
            problem = problem or health_predicate(health)()
        if not problem:
            return
        if clock() > deadline:
            break
        sleep(_PAUSE)
    if must_serve or told:
        raise VerificationError(
            "see %s %s" % (sha[:12], "serve" if must_serve else "run"),
            got="after %g s: %s" % (params["ready_timeout"], problem),
            next_step="read the logs of the services; the cause may not be the deployment",
            kind="not_ready",
        )
