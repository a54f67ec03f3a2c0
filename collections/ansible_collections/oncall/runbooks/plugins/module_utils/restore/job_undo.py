# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking a switch back, and letting go of the database that was kept for that."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database as db
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import job_lock, switch, untouched
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions


def undo(options: RestoreOptions) -> Dict[str, Any]:
    """Swap the old database back in; the restored one is kept. Done already is success."""
    connection = options.login.connect()
    try:
        job_lock.acquire(connection, options.database)
        live = marks.find(connection, options.database)
        old = _kept(connection, options, "before")
        if old is None and _kept(connection, options, "after") is not None:
            return _result(options, False, "the restore of run %s was undone already" % options.run)
        _refuse_to_undo(options, live, old)
        if live is None:
            raise AssertionError("live is not there yet")
        if live.mark is None:
            raise AssertionError("live.mark is not there yet")
        if old is None:
            raise AssertionError("old is not there yet")
        result = _result(
            options,
            True,
            "%s is the database it was before run %s" % (options.database, options.run),
            before="%s: restored from %s\n%s: the database that was live\n"
            % (options.database, live.mark.key, old.name),
            after="%s: the database that was live\n%s: restored from %s\n"
            % (options.database, options.after_name, live.mark.key),
        )
        if not options.check_mode:
            if old.mark is None:
                raise AssertionError("old.mark is not there yet")
            renames = switch.backward(options.database, old.name, options.after_name, live.mark, old.mark)
            try:
                window, ended = switch.swap(options.login, renames, timeout=options.switch_timeout)
                switch.answers(options.login, options.database)
            except OncallError as error:
                error.changed = not untouched.proved(options, undoing=True)
                raise
            result.update(window_ms=window, sessions_ended=ended)
        return result
    finally:
        connection.close()


def _kept(connection: Any, options: RestoreOptions, role: str) -> Optional[marks.MarkedDatabase]:
    for found in marks.databases(connection):
        mark = found.mark
        if mark and (mark.of, mark.run, mark.role) == (options.database, options.run, role):
            return found
    return None


def _refuse_to_undo(
    options: RestoreOptions, live: Optional[marks.MarkedDatabase], old: Optional[marks.MarkedDatabase]
) -> None:
    mark = live.mark if live else None
    if old is None:
        got = "the database that was live before run %s is not kept any more" % options.run
    elif mark is None or mark.run != options.run or mark.role != "live":
        by = "run %s restored it" % mark.run if mark else "it does not come from a restore"
        got = "%s is not what run %s put there: %s" % (options.database, options.run, by)
    else:
        return
    raise ConflictError(
        "undo the restore of %s by run %s" % (options.database, options.run),
        got=got,
        next_step="list what is kept with psql -l; undo the newest restore first, or restore a backup",
        kind="cannot_undo",
    )


def release(options: RestoreOptions) -> Dict[str, Any]:
    """Drop what a run kept beside the live database. Nothing there is success; it cannot be taken back."""
    connection = options.login.connect()
    try:
        job_lock.acquire(connection, options.database)
        found: List[marks.MarkedDatabase] = [
            kept
            for kept in (_kept(connection, options, role) for role in ("before", "after", "restore"))
            if kept is not None and kept.name != options.database
        ]
        lines = "".join("%s: kept by run %s\n" % (kept.name, options.run) for kept in found)
        message = "dropped %s" % ", ".join(kept.name for kept in found)
        result = _result(options, bool(found), message if found else "nothing is kept", before=lines)
        result["released"] = [kept.name for kept in found]
        result["released_bytes"] = sum(kept.size for kept in found)
        if not options.check_mode:
            _drop_all(connection, found, options.database)
        return result
    finally:
        connection.close()


def _drop_all(connection: Any, found: List[marks.MarkedDatabase], live: str) -> None:
    for number, kept in enumerate(found):
        try:
            db.drop(connection, kept.name, live=live)
        except pg.Error as error:
            raised = OncallError(
                "drop %s" % kept.name,
                got=" ".join(str(error).split()),
                next_step="see what holds it in pg_stat_activity, pg_prepared_xacts, pg_replication_slots or "
                "pg_subscription, then release it again",
                kind="release",
            )
            raised.changed = number > 0
            raise raised from None


def _result(
    options: RestoreOptions, changed: bool, msg: str, before: str = "", after: str = ""
) -> Dict[str, Any]:
    return {
        "changed": changed,
        "msg": msg,
        "diff": {"before": before, "after": after},
        "names": {"live": options.database, "kept": options.before_name, "after": options.after_name},
    }
