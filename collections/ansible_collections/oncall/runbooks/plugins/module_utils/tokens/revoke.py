# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Revoke tokens, or count what would be revoked."""

from __future__ import annotations

__metaclass__ = type

import time
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import (
    Pace,
    carry_out,
    working,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import ledger as ledgers
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import plan as plans
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import report
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.sweep import Sweeper
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.undo import restore_tokens


def work_tokens(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Bring the tokens into the state that `params` ask for and return the module's result."""
    _check_numbers(params)
    act = restore_tokens if params["state"] == "restored" else revoke_tokens
    return act(params, check_mode=check_mode)


def _check_numbers(params: Mapping[str, Any]) -> None:
    for name, least in (("batch", 1), ("max_wait_ms", 5), ("max_passes", 2), ("timeout", 1)):
        if params[name] < least:
            raise UsageError(
                "read the option %s" % name,
                on=str(params[name]),
                got="it is below %d" % least,
                next_step="give a larger one",
            )


def revoke_tokens(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Revoke every active token in scope and verify that none is left; in check mode only count.

    Raises an OncallError, with nothing changed when an option, a table or a right is wrong. Later its
    `changed` says whether something was, and the same run may be given again to go on.
    """
    run = plans.run_of(params)
    login = pg.Login.from_params(params, application_name="oncall-%s" % run)
    return carry_out(_Revocation(params, run, login), check_mode=check_mode)


class _Revocation:
    what = "revoke tokens"

    def __init__(self, params: Mapping[str, Any], run: str, login: pg.Login) -> None:
        self.params, self.run, self.login = params, run, login
        self.changed = False
        self.way_back: Optional[Dict[str, Any]] = None
        self.pace = Pace(params["batch"], params["max_wait_ms"])
        self.sweeper: Optional[Sweeper] = None
        self.started = time.monotonic()

    def do(self, reader: Any, *, check_mode: bool) -> Dict[str, Any]:
        plan = plans.make(reader, self.params, self.run)
        found = plan.ledger.find(reader, self.run)
        if found:
            ledgers.require_same(found, plan.record)
            # The run's own epoch is not moved again: whoever signed in since keeps what was issued.
            plan = replace(plan, record=found, epoch_change=self._epoch_left(reader, plan, found))
        if check_mode:
            return self._result(reader, plan, plans.count(reader, plan), check_mode=True)
        if plan.epoch_change and plan.epoch_change["changed"]:
            return self._change(reader, plan)
        before = plans.count(reader, plan)
        unfinished = found is not None and found.state == ledgers.REVOKING
        if unfinished or any(counts.target for counts in before.values()):
            return self._change(reader, plan, before)
        return self._result(reader, plan, before)

    @staticmethod
    def _epoch_left(reader: Any, plan: plans.Plan, found: ledgers.RunRecord) -> Optional[Dict[str, Any]]:
        if plan.epoch is None or found.epoch is None:
            return plan.epoch_change
        return dict(found.epoch, changed=plan.epoch.current(reader) == found.epoch["before"])

    def _change(
        self, reader: Any, plan: plans.Plan, before: Optional[Dict[str, report.Counts]] = None
    ) -> Dict[str, Any]:
        on_disk = plan.ledger.kind == "file"
        self.way_back = self._way_back(plan)
        with working(self, wait_for_disk=on_disk) as writer:
            found = plan.ledger.find(reader, self.run)
            if not found:
                plan.ledger.begin(writer, plan.record)
            self._set_epoch(writer, plan, found)
            before = before or plans.count(reader, plan)
            self._sweep(reader, writer, plan, before)
            plan.ledger.finish(writer, self.run, ledgers.REVOKED)
        return self._result(reader, plan, before)

    def _way_back(self, plan: plans.Plan) -> Dict[str, Any]:
        options = self.params.get("ledger") or {}
        return report.undo(self.run, options, self.params["database"], plan.ledger.place)

    def _set_epoch(self, writer: Any, plan: plans.Plan, found: Optional[ledgers.RunRecord]) -> None:
        change = plan.epoch_change
        if plan.epoch is None or change is None or not change["changed"]:
            return
        if found is None or found.epoch is None:
            plan.ledger.note_epoch(writer, self.run, change)
        self.changed = plan.epoch.apply(writer, change)
        if not self.changed:
            raise ConflictError(
                "set the epoch",
                on=change["place"],
                got="somebody else changed it in this moment",
                next_step="look at it, then revoke under a new run",
            )

    def _sweep(self, reader: Any, writer: Any, plan: plans.Plan, before: Dict[str, report.Counts]) -> None:
        self.sweeper = Sweeper(
            reader, writer, plan.ledger, self.run, plan.reason, plan.scope, plan.tables, self.pace
        )
        try:
            self.sweeper.work({place: c.target for place, c in before.items()}, self.params["max_passes"])
        finally:
            self.changed = self.changed or any(self.sweeper.revoked.values())

    def _result(
        self, reader: Any, plan: plans.Plan, before: Dict[str, report.Counts], *, check_mode: bool = False
    ) -> Dict[str, Any]:
        revoked = self.sweeper.revoked if self.sweeper else {}
        entries = [
            report.table_entry(
                place,
                counts,
                counts.target if check_mode else revoked.get(place, 0),
                counts.target if check_mode else 0,
            )
            for place, counts in before.items()
        ]
        moved = bool(plan.epoch_change and plan.epoch_change["changed"])
        changed = (moved or any(entry["revoked"] for entry in entries)) if check_mode else self.changed
        result: Dict[str, Any] = {
            "changed": changed,
            "run": self.run,
            "scope": plan.scope.as_dict(),
            "reason": plan.reason,
            "tables": entries,
            "left_out": plan.skipped,
            "epoch": plan.epoch_change,
            "findings": report.findings(entries, plan.skipped, plan.scope),
            "prediction": report.prediction(entries, plan.epoch_change, plan.scope),
            "diff": report.diff(entries, plan.epoch_change),
            "passes": self.sweeper.passes if self.sweeper else 0,
            "transactions": self.pace.transactions,
            "retries": self.pace.retries,
            "longest_transaction_ms": round(self.pace.longest_ms, 1),
            "evidence": [],
        }
        self._add_ledger(result, reader, plan)
        result["duration_s"] = round(time.monotonic() - self.started, 3)
        return result

    def _add_ledger(self, result: Dict[str, Any], reader: Any, plan: plans.Plan) -> None:
        summary = ledgers.summarize(plan.ledger, reader, self.run)
        result["ledger"] = {
            "kind": plan.ledger.kind,
            "place": plan.ledger.place,
            "rows": summary.total,
            "sha256": summary.sha256,
        }
        if summary.total:
            result["evidence"].append(ledgers.evidence(plan.ledger, plan.record, summary))
        if result["changed"] or summary.total:
            result["undo"] = self._way_back(plan)
