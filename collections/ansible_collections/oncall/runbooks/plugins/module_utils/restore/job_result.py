# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore says of itself: the same words before and after, so a prediction can be held against it."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.inspect import Plan, prediction
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.load import Loaded
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions


def predicted(plan: Plan, options: RestoreOptions, loss: Dict[str, Any]) -> Dict[str, Any]:
    """Return the part of the result that is known before anything is written."""
    changes = options.force or not plan.already
    if plan.resume and not options.switch:
        changes = False  # the backup is loaded and verified beside already, and no switch was asked for
    message = _message(plan, options, changes)
    return {
        "changed": changes,
        "msg": message,
        "diff": diff(plan, options, changes),
        # What is not done loses nothing; why it is not done is what the reader has to know.
        "prediction": {**prediction(plan, options), **({} if changes else {"summary": message})},
        "data_loss": _loss(options, loss) if changes else {},
        "warnings": list(plan.warnings),
        "names": {"live": options.database, "restored": options.restored_name, "kept": options.before_name},
    }


def _loss(options: RestoreOptions, loss: Dict[str, Any]) -> Dict[str, Any]:
    """Return what is lost: by a restore that stays beside nothing, but whoever reads it means to switch."""
    if options.switch:
        return loss
    said = "nothing as long as it stays beside; putting it in service would lose: %s" % loss.get(
        "summary", ""
    )
    return {**loss, "summary": said}


def _message(plan: Plan, options: RestoreOptions, changes: bool) -> str:
    if changes:
        return "%s is restored from %s" % (options.database, options.key)
    if plan.already:
        mark = plan.live.mark if plan.live else None
        return (
            "%s was restored from %s already, by run %s; "
            "to load it again: force: true (--param postgres_restore_force=true)"
        ) % (options.database, options.key, mark.run if mark else "unknown")
    return "%s holds %s already, loaded and verified" % (plan.resume, options.key)


def diff(plan: Plan, options: RestoreOptions, changes: bool) -> Dict[str, str]:
    """Return the databases before and after, one per line; pure, so that check mode and apply agree."""
    before: List[str] = []
    if plan.live is not None:
        before.append("%s: the live database" % options.database)
    before += ["%s: leftover of a restore that did not finish" % name for name in plan.remove]
    if plan.resume:
        before.append("%s: %s, loaded and verified" % (plan.resume, options.key))
    return {"before": _text(before), "after": _text(_after(plan, options) if changes else before)}


def _after(plan: Plan, options: RestoreOptions) -> List[str]:
    restored = "restored from %s" % options.key
    if not options.switch:
        live = ["%s: the live database" % options.database] if plan.live is not None else []
        return [*live, "%s: %s" % (options.restored_name, restored)]
    after = ["%s: %s" % (options.database, restored)]
    if plan.live is not None and not options.in_place:
        after.append("%s: the database that was live" % options.before_name)
    return after


def _text(lines: List[str]) -> str:
    return "".join(line + "\n" for line in lines)


def verified(
    loaded: Loaded, counted: Dict[str, int], checks: List[Dict[str, Any]], size: int
) -> Dict[str, Any]:
    """Return the part of the result that says what was loaded and proved."""
    if loaded.end is None:
        raise AssertionError("loaded.end is not there yet")
    return {
        "tables": counted,
        "rows": loaded.rows,
        "restored_size": size,
        "bytes_read": loaded.end.bytes_in,
        "sha256": loaded.end.sha256,
        "load_warnings": list(loaded.warnings),
        "verification": {
            "end_marker": loaded.end.marker,
            "tables": len(counted),
            "rows": loaded.rows,
            "large_objects": loaded.large_objects,
            "constraints": "validated",
            "indexes": "valid",
            "checks": checks,
        },
    }


def switched(plan: Plan, options: RestoreOptions, window_ms: float, ended: int) -> Dict[str, Any]:
    """Return the part of the result that says how the switch went and how it is taken back."""
    return {
        "window_ms": window_ms,
        "sessions_ended": ended,
        "undo": undo(plan, options),
    }


def undo_in_place(options: RestoreOptions, copy: Dict[str, Any]) -> Dict[str, Any]:
    """Return how a restore in place is taken back: by restoring the safety copy that it made."""
    args = {"database": options.database, "run": options.run, "state": "undone", "key": copy["key"]}
    return {
        "summary": "restore the safety copy %s" % copy["key"],
        "reversible": True,
        "role": "oncall.runbooks.postgres",
        "entry_point": "restore_undo",
        "args": args,
    }


def undo_beside(options: RestoreOptions) -> Dict[str, Any]:
    """Return how a restore that stays beside is taken back: what it made is dropped."""
    return {
        "summary": "drop %s; the live database was never touched" % options.restored_name,
        "reversible": True,
        "role": "oncall.runbooks.postgres",
        "entry_point": "restore_undo",
        "args": {"database": options.database, "run": options.run, "state": "released"},
    }


def undo(plan: Plan, options: RestoreOptions) -> Dict[str, Any]:
    """Return how exactly this change is taken back."""
    args = {"database": options.database, "run": options.run, "state": "undone"}
    if plan.live is None:
        summary = "there was no database %s before: nothing to go back to" % options.database
    else:
        summary = "swap %s back in as %s; the restored one is kept as %s" % (
            options.before_name,
            options.database,
            options.after_name,
        )
    return {
        "summary": summary,
        "reversible": plan.live is not None,
        "role": "oncall.runbooks.postgres",
        "entry_point": "restore_undo",
        "args": args,
    }


def without_live(options: RestoreOptions, copy: Dict[str, Any], error: BaseException) -> OncallError:
    """Return the error of a restore in place that failed once the live database was dropped."""
    got = error.message if isinstance(error, OncallError) else str(error) or type(error).__name__
    return OncallError(
        "restore %s in place" % options.database,
        on="the live database was dropped; its safety copy is %s" % copy["key"],
        got=got,
        next_step="run the restore again, or with key: %s to have the database back as it was" % copy["key"],
        kind="in_place",
    )
