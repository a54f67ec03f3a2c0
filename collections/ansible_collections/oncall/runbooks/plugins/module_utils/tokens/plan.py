# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be wrong is found before anything is changed: options, tables, rights, values, clocks."""

from __future__ import annotations

__metaclass__ = type

import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import directory as directories
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import epoch as epochs
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import scope as scopes
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import statements
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.ledger import Ledger, RunRecord
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.ledger_database import DatabaseLedger
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.ledger_file import FileLedger
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.report import Counts
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import (
    TokenTable,
    describe_all,
    require_reason,
)

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Plan:
    """What will be revoked, where it is kept, and the epoch to set first."""

    run: str
    reason: str
    scope: scopes.Scope
    tables: List[TokenTable]
    skipped: Dict[str, str]
    epoch: Optional[epochs.Epoch]
    epoch_change: Optional[Dict[str, Any]]
    ledger: Ledger
    record: RunRecord


def run_of(params: Mapping[str, Any]) -> str:
    """Return the run that the options name, or a new one."""
    run = params.get("run") or "%s-%s" % (
        datetime.now(timezone.utc).strftime("%Y%m%dt%H%M%Sz"),
        secrets.token_hex(3),
    )
    if not _RUN.fullmatch(run):
        raise UsageError(
            "read the option run",
            on=repr(run),
            got="it has other characters than letters, digits, '.', '_' and '-', or more than 63",
            next_step="give the id of the run",
        )
    return str(run)


def ledger_of(params: Mapping[str, Any], run: str) -> Ledger:
    """Return the ledger that the options name."""
    ledger = params.get("ledger") or {}
    if (ledger.get("kind") or "database") == "database":
        return DatabaseLedger()
    if not ledger.get("path"):
        raise UsageError(
            "keep the ledger in a file",
            got="ledger.path is not given",
            next_step="set it to a folder on the target that only its owner can read",
        )
    return FileLedger(ledger["path"], run)


def make(reader: Any, params: Mapping[str, Any], run: str) -> Plan:
    """Check everything by looking only; raises an OncallError that says what to correct."""
    reason = params.get("reason") or "breach %s" % run
    scope = scopes.Scope.from_params(params)
    tables, skipped = _tables(reader, params, scope)
    scope = _resolved(reader, params, scope, tables)
    for table in tables:
        require_reason(reader, table, reason)
    epoch = epochs.Epoch.from_option(params.get("epoch"), scope)
    epoch = epochs.describe(reader, epoch) if epoch else None
    options = {
        "scope": scope.as_dict(),
        "tables": [table.as_option() for table in tables],
        "reason": reason,
        "epoch": epoch.as_option() if epoch else None,
    }
    ledger = ledger_of(params, run)
    ledger.check(reader)
    change = epoch.plan(reader, scope) if epoch else None
    record = RunRecord(run, options=options)
    return Plan(run, reason, scope, tables, skipped, epoch, change, ledger, record)


def _tables(reader: Any, params: Mapping[str, Any], scope: scopes.Scope) -> Any:
    declared = [TokenTable.from_option(option) for option in params["tables"]]
    places = [table.place for table in declared]
    if not places or len(set(places)) < len(places):
        raise UsageError(
            "read the option tables",
            on=", ".join(places),
            got="a table is declared twice" if places else "no table is declared",
            next_step="declare each table that holds tokens once",
        )
    tables, skipped = describe_all(reader, declared)
    skipped.update({table.place: "it has no sessions" for table in tables if not scope.concerns(table)})
    concerned = [table for table in tables if scope.concerns(table)]
    if not concerned:
        raise UsageError(
            "revoke tokens",
            on=", ".join(places),
            got="no table is left: %s" % "; ".join("%s: %s" % item for item in skipped.items()),
            next_step="correct the option tables",
        )
    return concerned, skipped


def _resolved(
    reader: Any, params: Mapping[str, Any], scope: scopes.Scope, tables: List[TokenTable]
) -> scopes.Scope:
    directory = directories.Directory.from_option(params.get("subscribers"))
    directory = directories.describe(reader, directory) if directory else None
    if scope.subscriber:
        one = directories.resolve(reader, directory, scope.subscriber, "subscriber")
        scope = replace(scope, subscriber=one)
    keep = [
        directories.resolve(reader, directory, given, "exclude.subscribers")
        for given in scope.keep_subscribers
    ]
    scope = replace(scope, keep_subscribers=tuple(keep))
    scopes.check(reader, scope, tables, directory=directory is not None)
    return scope


def count(reader: Any, plan: Plan) -> Dict[str, Counts]:
    """Count the rows of every table as they are now."""
    return {
        table.place: Counts(*pg.rows(reader, statements.counts(table, plan.scope))[0])
        for table in plan.tables
    }
