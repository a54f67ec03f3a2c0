# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became of a restore that nobody saw the end of: read from the marks that it left in the server."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import job_result
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions

_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()"
_POLL = 0.25
LEFT_BESIDE = "left_beside"
"""The live database is as it was, and what the run made stands beside it."""


def look(
    options: RestoreOptions, wait: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Dict[str, Any]:
    """Return `{outcome, databases, sessions}` of the run in `options`.

    A job whose controller is gone ends itself within its lease: that is waited for, `wait` seconds at most.
    Raises ConflictError when it works on after that.
    """
    connection = options.login.connect()
    try:
        deadline = clock() + wait
        while _sessions(connection, options) and clock() < deadline:
            sleep(_POLL)
        left = _sessions(connection, options)
        if left:
            raise ConflictError(
                "see what run %s did" % options.run,
                on=options.login.address,
                got="%d of its sessions still work there" % left,
                next_step="wait for its end, or end it: oncall.runbooks.run_processes, then look again",
                kind="still_running",
            )
        every = marks.databases(connection)
    finally:
        connection.close()
    found = [d for d in every if d.mark is not None and d.mark.of == options.database]
    state, summary = judged(options, found, options.database in {d.name for d in every})
    undo = _undo(options, found) if state == "done" else None
    if state == "not_done" and _beside(options.run, found):
        # Whole or half made: whoever takes the run back wants it gone. One that was never meant to be put in
        # service is done once it is whole.
        done = not options.switch and _whole_beside(options.run, found)
        state, undo = "done" if done else LEFT_BESIDE, job_result.undo_beside(options)
    return {
        "outcome": {"state": state, "summary": summary, "undo": undo},
        "beside": [d.name for d in found if _is_whole_beside(d)],
        "databases": [marks.as_dict(d) for d in found if d.mark is not None and d.mark.run == options.run],
        "sessions": left,
    }


def _beside(run: str, found: List[marks.MarkedDatabase]) -> bool:
    return any(d.mark is not None and (d.mark.run, d.mark.role) == (run, "restore") for d in found)


def _whole_beside(run: str, found: List[marks.MarkedDatabase]) -> bool:
    return any(_is_whole_beside(d) and d.mark is not None and d.mark.run == run for d in found)


def _is_whole_beside(found: marks.MarkedDatabase) -> bool:
    return found.mark is not None and (found.mark.role, found.mark.phase) == ("restore", "verified")


def _sessions(connection: Any, options: RestoreOptions) -> int:
    return int(pg.value(connection, _SESSIONS, ("oncall-%s" % options.run,)) or 0)


def judged(
    options: RestoreOptions, found: List[marks.MarkedDatabase], is_there: bool = True
) -> Tuple[str, str]:
    """Return the state (done, undone, not_done, gone) and a sentence, from the databases that carry a mark.

    `is_there` says whether there is a database of the live name at all.
    """
    ours = {d.mark.role: d for d in found if d.mark is not None and d.mark.run == options.run}
    if "live" in ours and ours["live"].name == options.database:
        key = ours["live"].mark.key if ours["live"].mark else ""
        return "done", "%s is in service as run %s restored it from %s" % (options.database, options.run, key)
    if "after" in ours:
        text = "the restore of run %s was taken back; %s keeps it"
        return "undone", text % (options.run, ours["after"].name)
    if "before" in ours:
        text = "another restore followed; %s still keeps what was live before run %s"
        return "undone", text % (ours["before"].name, options.run)
    beside = "run %s left nothing beside it" % options.run
    if "restore" in ours:
        verified = ours["restore"].mark is not None and ours["restore"].mark.phase == "verified"
        use = (
            "is whole, a restore of the same backup takes it up"
            if verified
            else "is half made and removed next"
        )
        beside = "%s %s" % (ours["restore"].name, use)
    if not is_there:
        text = "%s is gone: a restore in place had dropped it, its safety copy is in the bucket; %s"
        return "gone", text % (options.database, beside)
    return "not_done", "%s is as it was; %s" % (options.database, beside)


def _undo(options: RestoreOptions, found: List[marks.MarkedDatabase]) -> Optional[Dict[str, Any]]:
    """The same as a restore that ended well records; None when nothing was kept to go back to."""
    kept = [d.name for d in found if d.mark and (d.mark.run, d.mark.role) == (options.run, "before")]
    if not kept:
        return None
    return {
        "summary": "swap %s back in as %s; the restored one is kept as %s"
        % (kept[0], options.database, options.after_name),
        "reversible": True,
        "role": "oncall.runbooks.postgres",
        "entry_point": "restore_undo",
        "args": {"database": options.database, "run": options.run, "state": "undone"},
    }
