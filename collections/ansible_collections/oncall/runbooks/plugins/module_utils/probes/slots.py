# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drop a replication slot that nobody uses, so that the server lets go of the WAL that it keeps for it."""

from __future__ import annotations

__metaclass__ = type

import time
from contextlib import closing
from typing import Any, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    DeniedError,
    OncallError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login, rows
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size

Slot = Dict[str, Any]
_COLUMNS = ("name", "type", "plugin", "database", "active", "retained")
_SLOT = """
SELECT slot_name, slot_type, coalesce(plugin, ''), coalesce(database, ''), active,
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                     ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""
_NAMES = "SELECT coalesce(string_agg(slot_name, ', ' ORDER BY slot_name), 'none') FROM pg_replication_slots"
_WAL = "SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()"
# The server needs two checkpoints to see that less WAL is written than before, and so keeps fewer files.
_CHECKPOINTS = 2
_TIMEOUT_S = 10


def drop_slot(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Drop the slot that `params` name and return the module's result; only tell of it in check mode.

    Raises ConflictError while somebody uses it, OncallError when it is not there, and VerificationError when
    it still is afterwards. A slot that an earlier run of the same id dropped is no error: nothing changes.
    """
    name = params["name"]
    login = Login.from_params(params, application_name="oncall-slots")
    with closing(login.connect(timeout=_TIMEOUT_S)) as session:
        slot = _find(session, name)
        if slot is None:
            return _gone(session, name)
        _refuse_used(session, slot, params["unused_for"])
        result = _predicted(slot)
        if check_mode:
            return result
        before = rows(session, _WAL)[0][0]
        _drop(session, slot)
        result.update(_let_go(session, before))
    return result


def _find(session: Any, name: str) -> Optional[Slot]:
    found = rows(session, _SLOT, (name,))
    return dict(zip(_COLUMNS, found[0])) if found else None  # noqa: B905 - strict= is not in Python 3.8


def _gone(session: Any, name: str) -> Dict[str, Any]:
    """What is gone needs no drop; which slots there are tells a slip in the name."""
    return {
        "changed": False,
        "slot": {},
        "freed": 0,
        "prediction": {"summary": "there is no slot %s; there are: %s" % (name, rows(session, _NAMES)[0][0])},
        "diff": {"before": "", "after": ""},
    }


def _refuse_used(session: Any, slot: Slot, seconds: float) -> None:
    """Refuse a slot with a consumer; one that comes back every few seconds is watched for."""
    deadline = time.monotonic() + seconds
    seen: Optional[Slot] = slot
    while seen is not None:
        if seen["active"]:
            raise ConflictError(
                "drop the replication slot %s" % slot["name"],
                got="somebody reads from it at this moment, and would lose what was not read",
                next_step="end its consumer for good (SELECT * FROM pg_stat_replication), then try again",
                kind="slot_active",
            )
        if time.monotonic() >= deadline:
            return
        time.sleep(0.2)
        seen = _find(session, slot["name"])


def _predicted(slot: Slot) -> Dict[str, Any]:
    consumer = "%s slot%s" % (slot["type"], " of %s" % slot["plugin"] if slot["plugin"] else "")
    return {
        "changed": True,
        "slot": slot,
        "freed": 0,
        "prediction": {
            "summary": "the unused %s %s goes; it keeps %s of WAL"
            % (consumer, slot["name"], size(slot["retained"])),
            "bytes": slot["retained"],
            "data_loss": "none here; whoever read from it has to begin anew with a full copy",
        },
        "diff": {"before": "%s %s\n" % (slot["name"], slot["type"]), "after": ""},
        "undo": {
            "summary": "A new slot begins with what is written then; its consumer needs a full copy.",
            "reversible": False,
        },
    }


def _drop(session: Any, slot: Slot) -> None:
    """Drop it; whatever this raises left it as it was."""
    try:
        rows(session, "SELECT pg_drop_replication_slot(%s)", (slot["name"],))
    except Exception as exc:
        raise _refused(slot, exc) from None
    if _find(session, slot["name"]) is not None:
        raise VerificationError(
            "drop the replication slot %s" % slot["name"],
            got="it is still there",
            next_step="see who makes it again: SELECT * FROM pg_replication_slots",
        )


def _let_go(session: Any, before: int) -> Dict[str, Any]:
    """Have the server remove the files now, and tell how much came free; else it does so later by itself."""
    try:
        for _number in range(_CHECKPOINTS):
            rows(session, "CHECKPOINT")
        return {"freed": max(0, int(before - rows(session, _WAL)[0][0]))}
    except Exception as exc:
        said = "The slot is gone, and its WAL goes with the next checkpoint: %s" % " ".join(str(exc).split())
        return {"freed": 0, "warnings": [said]}


def _refused(slot: Slot, error: Exception) -> OncallError:
    got, code = " ".join(str(error).split()), getattr(error, "pgcode", "")
    what = "drop the replication slot %s" % slot["name"]
    if code == "55006":
        return ConflictError(
            what, got=got, next_step="somebody has come to use it; end its consumer first", kind="slot_active"
        )
    if code == "42501":
        return DeniedError(what, got=got, next_step="log in as a superuser or a role with REPLICATION")
    return OncallError(what, got=got, next_step="read the server's log")
