# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Saying that a job has run: its heartbeat, written by whoever has proved that its work is done."""

from __future__ import annotations

__metaclass__ = type

from contextlib import closing
from typing import Any, Dict, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import (
    read_session,
    server_error,
    write_session,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.tables import Heartbeats, composed

_WHAT = "write the heartbeat"
_SEEN = "SELECT {beat_at}::text FROM {table} WHERE {job}::text = {name}"
# Only as it was seen: a job that has reported meanwhile knows better.
_BEAT = """
UPDATE {table} SET {beat_at} = coalesce({at}::timestamptz, clock_timestamp())
WHERE {job}::text = {name} AND {beat_at} IS NOT DISTINCT FROM {seen}::timestamptz
RETURNING {beat_at}::text
"""


def beat(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Write the heartbeat of a job (now, or the time `beat_at`) and return the module's result.

    With `expected` it is written only where that is the time which is there; another one is left as it is.
    """
    place = Heartbeats.from_option(params["heartbeats"])
    if place is None:
        raise UsageError(_WHAT, got="the option heartbeats is not given", next_step="name their table")
    login = pg.Login.from_params(params, "oncall-job-beat")
    with closing(read_session(login, params["database"], params["timeout"])) as reader:
        place.check(reader, changed=[place.beat_at])
        rows = pg.rows(reader, composed(_SEEN, place, name=params["job"]))
    if len(rows) != 1:
        raise ConflictError(
            _WHAT,
            on=place.place,
            got="there are %d rows of the job %s" % (len(rows), params["job"]),
            next_step="name a job that is there in the inventory; nothing was changed",
        )
    seen: Optional[str] = rows[0][0]
    if params["expected"] and params["expected"] != seen:
        return _result(params, seen, None)
    at = seen if check_mode else _write(login, params, place, seen)
    return _result(params, seen, (at,))


def _write(login: pg.Login, params: Mapping[str, Any], place: Heartbeats, seen: Optional[str]) -> str:
    wait_ms = params["timeout"] * 1000
    with closing(write_session(login, params["database"], wait_ms, what=_WHAT, wait_for_disk=True)) as writer:
        values = {"name": params["job"], "seen": seen, "at": params["beat_at"] or None}
        try:
            written: Optional[str] = pg.value(writer, composed(_BEAT, place, **values))
        except pg.Error as error:
            raise server_error(error, _WHAT, place.place, params["job"]) from None
    if written is None:
        raise ConflictError(
            _WHAT,
            on="%s of %s" % (params["job"], place.place),
            got="the job reported itself while this looked",
            next_step="diagnose again: it may be well now; nothing was changed",
        )
    return written


def _result(
    params: Mapping[str, Any], seen: Optional[str], written: Optional[Tuple[Any, ...]]
) -> Dict[str, Any]:
    """Return what is told; `written` is None where another time is there than the one that was expected."""
    job = params["job"]
    told = "%s reports as of %s" % (job, params["beat_at"] or "now")
    result: Dict[str, Any] = {
        "changed": written is not None,
        "prediction": {"summary": told if written else "%s has reported since" % job, "data_loss": "none"},
        "diff": {"before": "", "after": "%s: has reported\n" % job if written else ""},
    }
    if written is not None:
        result["undo"] = {
            "summary": "the heartbeat of %s is as old as it was" % job,
            "reversible": bool(seen),
            "role": "oncall.runbooks.jobs",
            "entry_point": "beat_undo",
            "args": {"job": job, "beat_at": seen, "expected": written[0]},
        }
    return result
