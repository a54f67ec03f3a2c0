# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart a service: keep its log first, restart it, wait until it is well. The same on every platform."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import time
from contextlib import closing
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login, rows
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import write_evidence
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub, scrub_people
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.server import any_session
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.address import login_of
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.client import session as redis_session
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import (
    Provider,
    ServiceError,
    ServiceState,
)

MAX_EVIDENCE = 256 * 1024
# What a shell exits with when it does not find a program, or may not start it.
_CANNOT_BE_RUN = (126, 127)
_PRECHECK_TIMEOUT = 20.0
_REDIS_LOSS = (
    "what a server that still runs has not written to disk: it does that when it is asked to stop, unless it "
    "keeps nothing on disk; a server that is down has nothing more to lose"
)
#: returns an empty text when the service serves its clients, otherwise the reason why not
Predicate = Callable[[], str]


def restart_service(
    provider: Provider,
    healthy: Predicate,
    params: Mapping[str, Any],
    *,
    check_mode: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Dict[str, Any]:
    """Restart the service of `provider` and return the module's result; in check mode only look and predict.

    `params` has the times in seconds; `recreate` starts it with changed settings, `precheck` is a command
    that has to succeed first. Raises VerificationError with the last state seen when it is not `healthy` in
    time.
    """
    before, recreate = provider.state(), bool(params.get("recreate"))
    if not before.exists and not provider.can_create:
        raise ServiceError(
            "restart %s %s" % (provider.kind, provider.name),
            got=before.describe(),
            next_step="correct the option runtime",
        )
    _precheck(params.get("precheck") or [], before)
    result = _predicted(provider, before, recreate)
    if params.get("redis"):
        result["prediction"]["data_loss"] = _REDIS_LOSS
    if check_mode:
        return result
    result["evidence"] = [capture_log(provider, params)]
    started = clock()
    try:
        after, result["done"] = _again(provider, before, healthy, params, clock=clock, sleep=sleep)
    except OncallError as exc:
        exc.changed = True
        raise
    result.update(state=after.as_dict(), downtime_s=round(clock() - started, 2))
    result["diff"]["after"] = "running\n"
    return result


def _precheck(argv: Sequence[str], before: ServiceState) -> None:
    """Raise ServiceError when the command says that the service would not come back."""
    if not argv:
        return
    done = run(argv, timeout=_PRECHECK_TIMEOUT, merge=True)
    if done.rc != 0:
        missing = done.rc in _CANNOT_BE_RUN
        raise ServiceError(
            "restart %s" % before.describe(),
            on=" ".join(argv),
            got="the check before it failed, nothing was restarted: %s" % scrub(done.out).strip()[-400:],
            next_step="install the program that checks, or correct the service's precheck in service_list"
            if missing
            else "correct its configuration, then run this again",
            kind="precheck_missing" if missing else "precheck",
        )


def _again(
    provider: Provider,
    before: ServiceState,
    healthy: Predicate,
    params: Mapping[str, Any],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Tuple[ServiceState, str]:
    """Do it and wait; return the state afterwards and what was done, as a command."""
    started = clock()
    if before.frozen:
        provider.thaw(before)
    again = provider.recreate if params.get("recreate") else provider.restart
    done = again(stop_timeout=params["stop_timeout"])
    after = wait_well(
        provider,
        healthy,
        deadline=started + params["timeout"],
        limit=params["timeout"],
        clock=clock,
        sleep=sleep,
    )
    if after.pid == before.pid and before.running and before.pid:
        raise VerificationError(
            "restart %s" % before.describe(),
            got="the same process still runs",
            next_step="restart it by hand",
        )
    return after, done


def _predicted(provider: Provider, before: ServiceState, recreate: bool) -> Dict[str, Any]:
    what = "is started again with the settings of its file" if recreate else "is restarted"
    return {
        "changed": True,
        "before": before.as_dict(),
        "prediction": {
            "summary": "%s %s" % (before.describe(), what),
            "duration_s": provider.usual_downtime,
            "data_loss": "none for committed data; open sessions end",
        },
        "diff": {"before": before.word + "\n", "after": "running\n"},
        "undo": {
            "summary": "A restart has nothing to take back: no file was changed.",
            "reversible": False,
        },
    }


def capture_log(provider: Provider, params: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the end of the service's log as evidence, as a file in `evidence_dir` when that is given.

    A log that cannot be read does not keep anybody from a restart: the evidence then says why it is empty.
    """
    name = "%s.log" % provider.name.strip("/").replace("/", "-")
    try:
        read = provider.logs(hours=24.0, max_bytes=MAX_EVIDENCE)
        text, summary = (
            scrub_people(read.text, [params.get("login_password") or ""]),
            "the end of %s" % read.source,
        )
    except OncallError as exc:
        text, summary = "", "the log could not be read: %s" % exc.message
    entry: Dict[str, Any] = {
        "name": name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "summary": summary,
    }
    return write_evidence(entry, text, params.get("evidence_dir"))


def wait_well(
    provider: Provider,
    healthy: Predicate,
    *,
    deadline: float,
    limit: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> ServiceState:
    """Wait until the platform and `healthy` say that all is well; return the state.

    `deadline` is by `clock`. Raises VerificationError with the last state seen.
    """
    while True:
        state = provider.state()
        reason = healthy() if state.well else state.describe()
        if not reason:
            return state
        if clock() > deadline:
            raise VerificationError(
                "see %s %s well after its restart" % (provider.kind, provider.name),
                got="after %g s: %s; %s" % (limit, state.describe(), reason),
                next_step="read its log; a start that fails again is not helped by another restart",
            )
        sleep(0.2)


def always_healthy() -> str:
    """The predicate of a service of which the platform's own word is all that can be known."""
    return ""


def postgres_predicate(login: Login, database: str) -> Predicate:
    """Return the predicate: PostgreSQL answers a query."""

    def healthy() -> str:
        try:
            with closing(any_session(login, database, 2)) as session:
                rows(session, "SELECT 1")
        except OncallError as exc:
            return exc.message
        return ""

    return healthy


def redis_predicate(params: Mapping[str, Any]) -> Predicate:
    """Return the predicate: Redis answers a login and PING, and so has read its data."""

    def healthy() -> str:
        try:
            with redis_session(login_of(params), timeout=2) as client:
                client.call("PING")
        except OncallError as exc:
            # It runs, and writes wait for a snapshot or for memory: no restart helps with that.
            return "" if exc.kind == "misconf" else exc.message
        return ""

    return healthy
