# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take an activation back: exactly the rows of its ledger, and none that somebody changed since."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.billing import changes as ch
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.activate import Activation, note
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.session import session, transaction
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tables import Tables
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import split_name

Row = Dict[str, Any]


def restore(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Put back every row of the ledger; a second time changes nothing."""
    wanted = Activation(params)
    given = params["ledger"] or {}
    ledger = [ch.Change.from_ledger(entry) for entry in given.get("changes") or []]
    if not ledger:
        raise OncallError(
            "take back an activation",
            got="the ledger is empty",
            next_step="give what the activation returned as undo.args.ledger",
            kind="ledger",
        )
    with session(params) as connection:
        wanted.described(connection)
        with transaction(connection, read_only=check_mode):
            if not check_mode:
                _lock_ledger(connection, wanted.tables, ledger)
            back = ch.restorable(connection, ledger)
            kept = _kept(connection, ledger)
            if not check_mode:
                for change in back:
                    ch.make(connection, change)
                if back:
                    people = [{"subscriber": {"id": person}} for person in given.get("subscribers") or []]
                    note(connection, wanted, people, "taken back")
    return {
        "changed": bool(back),
        "left_alone": kept,
        "prediction": {"summary": "%d rows put back" % len(back), "rows": len(back), "data_loss": "none"},
        "diff": ch.diff(back),
    }


def _lock_ledger(connection: Any, tables: Tables, ledger: Sequence[ch.Change]) -> None:
    """Lock in the order in which an activation locks, so that the two never deadlock."""
    rows: Dict[Tuple[str, str], List[str]] = {}
    for change in ledger:
        (column, value), *_more = change.key.items()
        rows.setdefault((change.table, column), []).append(value)
    first = [tables.subscribers.place, tables.subscriptions.place]
    for (table, column), values in sorted(rows.items(), key=lambda item: (item[0][0] not in first, item[0])):
        ch.lock(connection, pg.ident(*split_name(table)), column, values)


def _kept(connection: Any, ledger: Sequence[ch.Change]) -> List[Row]:
    """Return the tokens that were changed since and therefore stay as they are."""
    kept = []
    for change in ledger:
        now = ch.current(connection, change) if change.token else change.before
        if now not in (change.before, change.after):
            kept.append({"table": change.table, "key": dict(change.key), "reason": "it was changed since"})
    return kept
