# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a revocation back: the rows of its ledger that still carry it, and the epoch if it is still ours."""

from __future__ import annotations

__metaclass__ = type

import time
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import (
    Pace,
    carry_out,
    working,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import epoch as epochs
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import ledger as ledgers
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import plan as plans
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import statements
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TokenTable, describe


def restore_tokens(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Make active again what the run revoked and nobody revoked since; in check mode only count."""
    if not params.get("run"):
        raise UsageError(
            "take a revocation back", got="run is not given", next_step="set run to the id of the revocation"
        )
    run = plans.run_of(params)
    login = pg.Login.from_params(params, application_name="oncall-%s" % run)
    return carry_out(_Restoration(params, run, login), check_mode=check_mode)


class _Restoration:
    what = "take the revocation back"

    def __init__(self, params: Mapping[str, Any], run: str, login: pg.Login) -> None:
        self.params, self.run, self.login = params, run, login
        self.ledger = plans.ledger_of(params, run)
        self.pace = Pace(params["batch"], params["max_wait_ms"])
        self.tables: Dict[str, TokenTable] = {}
        self.epoch: Optional[epochs.Epoch] = None
        self.changed = False
        self.way_back: Optional[Dict[str, Any]] = None
        self.started = time.monotonic()

    def do(self, reader: Any, *, check_mode: bool) -> Dict[str, Any]:
        record = self.ledger.find(reader, self.run)
        if record is None:
            raise ledgers.unknown_run(self.ledger, self.run)
        self._describe(reader, record)
        before = self._count(reader)
        moved = self._epoch_is_ours(reader, record)
        left = dict.fromkeys(before, 0)
        if check_mode or not (moved or any(ours for ours, _rows in before.values())):
            if check_mode:
                left = {place: ours for place, (ours, _rows) in before.items()}
            self.changed = check_mode and (moved or any(left.values()))
        else:
            self._change(reader, record, moved)
        return self._result(reader, record, before, left, moved)

    def _describe(self, reader: Any, record: ledgers.RunRecord) -> None:
        for option in record.options["tables"]:
            table = describe(reader, TokenTable.from_option(option))
            # The ledger's columns of keys are in the order of then.
            self.tables[table.place] = replace(table, key=tuple(option["key"]))
        if record.epoch and record.options.get("epoch"):
            self.epoch = epochs.describe(reader, epochs.Epoch.from_ledger(record.options["epoch"]))

    def _epoch_is_ours(self, reader: Any, record: ledgers.RunRecord) -> bool:
        if self.epoch is None or record.epoch is None:
            return False
        return bool(self.epoch.current(reader) == record.epoch["after"])

    def _ours(self, batch: ledgers.Batch) -> Any:
        table = self.tables[batch.place]
        return statements.still_ours(table, batch.stamp, batch.reason, batch.key_rows())

    def _count(self, reader: Any) -> Dict[str, List[int]]:
        """Return by table: rows that still carry the revocation, rows in the ledger."""
        found = {place: [0, 0] for place in self.tables}
        for batch in self.ledger.batches(reader, self.run):
            table = self.tables[batch.place]
            query = pg.statement("SELECT count(*) FROM {} WHERE {}", table.ident, self._ours(batch))
            found[batch.place][0] += pg.value(reader, query)
            found[batch.place][1] += batch.rows
        return found

    def _change(self, reader: Any, record: ledgers.RunRecord, moved: bool) -> None:
        on_disk = self.ledger.kind == "file"
        with working(self, wait_for_disk=on_disk) as writer:
            self._restore_rows(reader, writer)
            if moved and self.epoch and record.epoch:
                self.changed = self.epoch.restore(writer, record.epoch) or self.changed
            self.ledger.finish(writer, self.run, ledgers.RESTORED)

    def _restore_rows(self, reader: Any, writer: Any) -> None:
        left = 0
        for _number in range(self.params["max_passes"]):
            for batch in self.ledger.batches(reader, self.run):
                self._restore_batch(writer, batch)
            left = sum(ours for ours, _rows in self._count(reader).values())
            if not left:
                return
            time.sleep(0.2)
        raise VerificationError(
            "take the revocation back",
            on="run %s" % self.run,
            got="%d tokens still carry it: others hold their rows locked" % left,
            next_step="end those sessions (postgres_sessions with blocking: true), then undo again",
        )

    def _restore_batch(self, writer: Any, batch: ledgers.Batch) -> None:
        table = self.tables[batch.place]
        part: ledgers.Batch
        for part in batch.slices(self.pace.size):
            befores = part.befores or [None] * part.rows
            change = statements.restore_keys(table, self._ours(part), part.key_rows(), befores)
            rows = self.pace.retried(lambda change=change: _changed_rows(writer, change))  # type: ignore[misc]
            self.changed = self.changed or bool(rows)

    def _diff(self, entries: List[Dict[str, Any]], record: ledgers.RunRecord, moved: bool) -> Dict[str, str]:
        texts = {"before": "", "after": ""}
        for entry in entries:
            for name, count in (("before", entry["restored"]), ("after", 0)):
                texts[name] += "%s: %d revoked by run %s\n" % (entry["table"], count, self.run)
        if moved and record.epoch:
            texts["before"] += "%s: %s\n" % (record.epoch["place"], record.epoch["after"])
            texts["after"] += "%s: %s\n" % (record.epoch["place"], record.epoch["before"])
        return texts

    def _result(
        self,
        reader: Any,
        record: ledgers.RunRecord,
        before: Mapping[str, List[int]],
        left: Mapping[str, int],
        moved: bool,
    ) -> Dict[str, Any]:
        entries: List[Dict[str, Any]] = [
            {"table": place, "restored": ours, "kept": rows - ours, "left": left[place]}
            for place, (ours, rows) in before.items()
        ]
        summary = ledgers.summarize(self.ledger, reader, self.run)
        restored = sum(entry["restored"] for entry in entries)
        kept = sum(entry["kept"] for entry in entries)
        return {
            "changed": self.changed,
            "run": self.run,
            "tables": entries,
            "epoch": dict(record.epoch, changed=moved) if record.epoch else None,
            "findings": [],
            "prediction": {
                "summary": "%d tokens of run %s active again; %d left alone, revoked or removed since"
                % (restored, self.run, kept),
                "rows": restored,
                "data_loss": "none",
            },
            "diff": self._diff(entries, record, moved),
            "undo": {
                "summary": "Revoke again under a new run: which tokens are meant is a new decision.",
                "reversible": False,
            },
            "evidence": [ledgers.evidence(self.ledger, record, summary)] if summary.total else [],
            "transactions": self.pace.transactions,
            "retries": self.pace.retries,
            "longest_transaction_ms": round(self.pace.longest_ms, 1),
            "duration_s": round(time.monotonic() - self.started, 3),
        }


def _changed_rows(writer: Any, change: Any) -> int:
    with writer.cursor() as cursor:
        cursor.execute(change)
        return int(cursor.rowcount)
