# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the migrations that the database lacks: once, under a lock, without queueing up behind others."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.checkout import look, require_quiet
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.migrations import State, judge, names
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.options import schema_of
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.receipt import folder_for
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import running_sha, same_commit
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.schema import Schema
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import TooLateError, run
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import write_evidence
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub_people

_ADVICE = {
    "ahead": "deploy the code that belongs to this schema: the runbook deployment-rollback, or this one's "
    "deploy-matching",
    "diverged": "call the Backend Lead: which of the two is right cannot be told from here",
}
_IN_THE_WAY = """
SELECT format('%%s (process %%s, %%s s, %%s)', coalesce(nullif(application_name, ''), usename), pid,
              round(extract(epoch FROM now() - xact_start)), state)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND now() - xact_start > make_interval(secs => %s) ORDER BY xact_start
"""


class UpgradeError(OncallError):
    """The migrations could not be applied."""

    kind = "migrations"


@dataclass(frozen=True)
class _Look:
    git: Git
    sha: str
    schema: Schema
    state: State


def upgrade(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Apply what is pending and return the module's result; in check mode only look and predict.

    Raises OncallError; `changed` says whether the database has more migrations than before.
    """
    seen = _look(params)
    _require_behind(seen, params)
    result = _predicted(seen, params)
    if check_mode or not seen.state.pending:
        return result
    login = pg.Login.from_params(params, "oncall-%s" % params["run"])
    with closing(login.connect(params["database"])) as session:
        _take_lock(session, params)
        again = _look(params)
        _require_behind(again, params)
        if not again.state.pending:
            return _nothing(result, "another runner applied them while this one waited")
        started = time.monotonic()
        result["evidence"] = [_apply(again, params)]
        result["duration_s"] = round(time.monotonic() - started, 2)
    return result


def _look(params: Mapping[str, Any]) -> _Look:
    git = Git(params["path"])
    checked_out = look(git)
    require_quiet(git, checked_out)
    _require_same_code(params, checked_out.sha)
    schema = schema_of(params, git)
    if schema is None:
        raise UsageError(
            "apply migrations",
            on=git.folder,
            got="no migrations are declared",
            next_step="set deploy_migrations",
        )
    return _Look(git, checked_out.sha, schema, judge(schema.code(checked_out.sha), schema.applied))


def _require_same_code(params: Mapping[str, Any], sha: str) -> None:
    """The migrations of a checkout that is not what runs may be those of another release."""
    if params["running"]["kind"] == "none":
        return
    try:
        told = running_sha(params["running"])
    except OncallError:
        # What is down tells nothing; it is down because of the migrations, perhaps.
        return
    if not same_commit(told, sha):
        raise ConflictError(
            "apply migrations",
            on=params["path"],
            got="%s is checked out, but %s runs; nothing was changed" % (sha[:12], told[:12]),
            next_step="end the deployment first (deployment-rollback with deploy_sha), then look again",
            kind="not_what_runs",
        )


def _require_behind(seen: _Look, params: Mapping[str, Any]) -> None:
    if seen.state.word in _ADVICE:
        raise ConflictError(
            "apply migrations",
            on="database %s" % params["database"],
            got="it is %s: %s; nothing was changed" % (seen.state.word, seen.state.reason),
            next_step=_ADVICE[seen.state.word],
            kind=seen.state.word,
        )
    losing = _destructive(seen)
    if losing and not params["allow_destructive"]:
        raise ConflictError(
            "apply migrations",
            on="database %s" % params["database"],
            got="%s can lose data (DROP, TRUNCATE, DELETE, RENAME or another type); nothing was changed"
            % ", ".join(losing),
            next_step="read them with the Backend Lead, then allow it: deploy_allow_destructive=true",
            kind="destructive",
        )


def _destructive(seen: _Look) -> List[str]:
    return [m.path for m in seen.state.pending if seen.schema.is_destructive(seen.sha, m)]


def _predicted(seen: _Look, params: Mapping[str, Any]) -> Dict[str, Any]:
    pending = [m.path for m in seen.state.pending]
    if not pending:
        return _nothing({}, seen.state.reason)
    return {
        "changed": True,
        "pending": pending,
        "destructive": _destructive(seen),
        "prediction": {
            "summary": "%s %s applied once, by %s"
            % (names(pending), "are" if len(pending) > 1 else "is", _tool(params)),
            "in_the_way": _in_the_way(params),
            "lock_timeout_s": params["lock_timeout"],
            "duration_s": None,
            "data_loss": "what the migrations themselves remove" if _destructive(seen) else "none",
        },
        "diff": {
            "before": "%s lacks:\n%s" % (params["database"], "".join("  %s\n" % path for path in pending)),
            "after": "%s has:\n%s" % (params["database"], "".join("  %s\n" % path for path in pending)),
        },
        "evidence": [],
        "undo": {
            "summary": "A migration is taken back by the backup from before it, or by going forward.",
            "reversible": False,
        },
    }


def _nothing(result: Dict[str, Any], why: str) -> Dict[str, Any]:
    return {
        **result,
        "changed": False,
        "pending": [],
        "destructive": [],
        "evidence": [],
        "diff": {"before": "", "after": ""},
        "prediction": {"summary": "nothing is to be applied: %s" % why, "data_loss": "none"},
    }


def _tool(params: Mapping[str, Any]) -> str:
    """Return the command for a sentence: some tools are given a whole URL."""
    return scrub_people(" ".join(params["command"]), [params["login_password"] or ""])


def _in_the_way(params: Mapping[str, Any]) -> List[str]:
    """Return sessions whose transactions are older than a migration will wait for them."""
    login = pg.Login.from_params(params, "oncall-deploy")
    with closing(login.connect(params["database"])) as session:
        return [row[0] for row in pg.rows(session, _IN_THE_WAY, (params["lock_timeout"],))]


def lock_key(params: Mapping[str, Any]) -> int:
    """Return the number of the advisory lock that everybody who applies these migrations takes."""
    name = "oncall.runbooks migrations %s" % params["migrations"]["table"]
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _take_lock(session: Any, params: Mapping[str, Any]) -> None:
    """Wait for another runner; the lock ends with the session, also when this process is killed."""
    deadline = time.monotonic() + params["lock_wait"]
    while not pg.value(session, "SELECT pg_try_advisory_lock(%s)", (lock_key(params),)):
        if time.monotonic() > deadline:
            raise ConflictError(
                "apply migrations",
                on="database %s" % params["database"],
                got="another runner has held the lock for %g s; nothing was changed" % params["lock_wait"],
                next_step="see who: SELECT * FROM pg_locks WHERE locktype = 'advisory'",
                kind="lock",
            )
        time.sleep(0.2)


def _apply(seen: _Look, params: Mapping[str, Any]) -> Dict[str, Any]:
    """Run the project's own tool; raises with what it has applied when it fails or does not end."""
    said, ended = _run(seen, params)
    text = scrub_people(said, [params["login_password"] or ""])
    entry = {"name": "migrate.log", "summary": "what the tool said"}
    kept = write_evidence(entry, text, folder_for(params["private_dir"], params["run"]))
    left = _look(params)
    if ended or left.state.word != "current":
        raise _failed(seen, left, params, ended, " ".join(text.split())[-400:])
    return kept


def _run(seen: _Look, params: Mapping[str, Any]) -> Tuple[str, str]:
    owner = seen.git.owner
    # A migration that waits for a lock makes everybody else wait behind it: it gives up instead.
    options = "-c lock_timeout=%d" % int(params["lock_timeout"] * 1000)
    variables = {"PGOPTIONS": options, "PGAPPNAME": "oncall-%s" % params["run"]}
    try:
        done = run(
            params["command"],
            timeout=params["command_timeout"],
            merge=True,
            prepare=owner.become(),
            environment=owner.environment(**variables),
            folder=seen.git.folder,
        )
    except TooLateError as exc:
        return exc.said, "it had not ended after %g s, and was ended" % params["command_timeout"]
    except (OncallError, OSError) as exc:
        return "", "it could not be started: %s" % (getattr(exc, "got", "") or exc)
    return done.out, "exit code %d" % done.rc if done.rc else ""


def _failed(before: _Look, after: _Look, params: Mapping[str, Any], ended: str, said: str) -> OncallError:
    left = [m.path for m in after.state.pending]
    applied = [m.path for m in before.state.pending if m.path not in left]
    made = UpgradeError if ended else VerificationError
    error = made(
        "apply migrations",
        on=_tool(params),
        got="%s; %s; still pending: %s%s"
        % (
            ended or "it ended well",
            "applied: %s" % ", ".join(applied) if applied else "none was applied",
            ", ".join(left) or "nothing, but the database is %s" % after.state.word,
            "; it said last: %s" % said if said else "",
        ),
        next_step="remove what it says is in the way (a lock: end that session), then run this again: what "
        "is applied is not applied twice",
    )
    error.changed = bool(applied)
    return error
