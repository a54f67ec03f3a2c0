# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of a scheduler: who holds it, whether they live, and its release once they are proven dead.

Proven dead means two things at once: the owner has no session with the database any more (it keeps one open
as long as it lives, named like itself), and its heartbeat is older than any pause it makes. Either alone
can be wrong, and two schedulers at once run every job twice.
"""

from __future__ import annotations

__metaclass__ = type

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import (
    read_session,
    server_error,
    write_session,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.tables import Lock, composed

_PAUSE_S = 0.5
_WHAT = "release the scheduler's lock"
_HOLDERS = """
SELECT l.{lock}::text, l.{owner}::text, extract(epoch FROM clock_timestamp() - l.{beat_at})::float,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.application_name = l.{owner}::text)
FROM {table} l WHERE l.{owner} IS NOT NULL ORDER BY 1
"""
# Only as it was seen: an owner that came back, or another that took it meanwhile, keeps it.
_RELEASE = """
UPDATE {table} SET {owner} = NULL WHERE {lock}::text = {name} AND {owner}::text = {seen}
  AND {beat_at} < clock_timestamp() - make_interval(secs => {dead_after})
  AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.application_name = {seen})
RETURNING 1
"""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: seconds since the last heartbeat (None: never), and sessions that bear the name."""

    lock: str
    owner: str
    age: Optional[float]
    sessions: int

    def lives(self, dead_after_s: float) -> str:
        """Why the owner may be alive, "" when it is proven dead."""
        if self.sessions:
            return "%s has %d sessions with the database" % (self.owner, self.sessions)
        if self.age is None:
            return "%s has left no time, so nobody can say since when it is silent" % self.owner
        if self.age < dead_after_s:
            return "%s reported %d s ago, less than the %d s after which it counts as dead" % (
                self.owner,
                self.age,
                dead_after_s,
            )
        return ""


def holders(session: Any, place: Lock) -> List[Holder]:
    """Return who holds which lock."""
    place.check(session)
    return [Holder(*row) for row in pg.rows(session, composed(_HOLDERS, place))]


def is_meant(name: str, params: Mapping[str, Any]) -> bool:
    """Whether the job or lock of this name is to be measured: all are, unless some are named."""
    return (not params["names"] or name in params["names"]) and name not in params["except_names"]


def check_of(check: str, params: Mapping[str, Any]) -> str:
    """Return what a check is called where its subject is another than jobs: backup_lock for job_lock."""
    return str(params["subject"]) + check[len("job") :]


def findings(session: Any, place: Lock, params: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Return one finding for each lock that is meant and held, or one that says that none is."""
    check = check_of("job_lock", params)
    held = [holder for holder in holders(session, place) if is_meant(holder.lock, params)]
    made = [_finding(check, holder, params["dead_after_s"]) for holder in held]
    return made or [finding(check, "ok", "No lock is held.", observed={"held": 0})]


def _finding(check: str, holder: Holder, dead_after_s: float) -> Dict[str, Any]:
    alive = holder.lives(dead_after_s)
    observed = {"lock": holder.lock, "owner": holder.owner, "age_s": holder.age, "sessions": holder.sessions}
    observed["owner_dead"] = not alive
    text = "%s holds the lock %s and lives: %s." % (holder.owner, holder.lock, alive)
    if not alive:
        text = "%s holds the lock %s and is dead: no session, silent for %d s." % (
            holder.owner,
            holder.lock,
            holder.age or 0,
        )
    return finding(check, "ok" if alive else "fail", text, observed=observed, expected="a living owner")


def release(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Release the lock when its owner is proven dead, and return the module's result.

    Raises ConflictError when the owner may be alive, also after `wait_s`. A lock that nobody holds, or
    another than `owner` if that is given, is left as it is.
    """
    place = Lock.from_option(params["lock"])
    if place is None:
        raise UsageError(_WHAT, got="the option lock is not given", next_step="name the table of locks")
    login = pg.Login.from_params(params, "oncall-job-lock")
    with closing(read_session(login, params["database"], params["timeout"])) as reader:
        place.check(reader, changed=[place.owner])
        holder = _holder(reader, place, params)
        # In check mode whoever is to be stopped before this still lives.
        deadline = time.monotonic() + params["wait_s"]
        while holder and holder.lives(params["dead_after_s"]) and not (check_mode and params["wait_s"]):
            if time.monotonic() > deadline:
                raise _may_live(holder, holder.lives(params["dead_after_s"]))
            time.sleep(_PAUSE_S)
            holder = _holder(reader, place, params)
    if holder and not check_mode:
        _release(login, params, place, holder)
    return _result(params["name"], holder)


def _holder(reader: Any, place: Lock, params: Mapping[str, Any]) -> Optional[Holder]:
    """Who holds the lock that is meant, None when nobody does, or another than the one that is meant."""
    found = next((h for h in holders(reader, place) if h.lock == params["name"]), None)
    return None if found and params["owner"] not in ("", found.owner) else found


def _release(login: pg.Login, params: Mapping[str, Any], place: Lock, holder: Holder) -> None:
    wait_ms = params["timeout"] * 1000
    with closing(write_session(login, params["database"], wait_ms, what=_WHAT, wait_for_disk=True)) as writer:
        values = {"name": holder.lock, "seen": holder.owner, "dead_after": params["dead_after_s"]}
        try:
            released = pg.value(writer, composed(_RELEASE, place, **values))
        except pg.Error as error:
            raise server_error(error, _WHAT, place.place, params["name"]) from None
    if not released:
        raise _may_live(holder, "it came back, or another took the lock, while this looked")


def _may_live(holder: Holder, alive: str) -> ConflictError:
    return ConflictError(
        _WHAT,
        on="%s, held by %s" % (holder.lock, holder.owner),
        got="%s; two schedulers at once run every job twice" % alive,
        next_step="stop that scheduler first, then diagnose again (nothing was changed)",
        kind="owner_lives",
    )


def _result(name: str, holder: Optional[Holder]) -> Dict[str, Any]:
    owner = holder.owner if holder else ""
    told = "%s let go of the lock %s" % (owner, name) if holder else "nobody holds the lock %s" % name
    return {
        "changed": holder is not None,
        "prediction": {"summary": told, "data_loss": "none"},
        "diff": {
            "before": "%s: %s\n" % (name, owner) if holder else "",
            "after": "%s: free\n" % name if holder else "",
        },
        "owner": owner,
    }
