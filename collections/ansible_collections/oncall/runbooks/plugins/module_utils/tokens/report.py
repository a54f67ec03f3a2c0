# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is told of a revocation and of its undo: the same keys in check mode and for real."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.scope import Scope

# Rows that one of our own measurements revoked in a second, with other clients beside it.
_ROWS_PER_SECOND = 50_000


@dataclass(frozen=True)
class Counts:
    """One table: all rows, the active ones, the active ones to be revoked, the active ones that are kept."""

    total: int
    active: int
    target: int
    excluded: int


def table_entry(place: str, before: Counts, revoked: int, left: int) -> Dict[str, Any]:
    """Return the numbers of one table for the result."""
    return {
        "table": place,
        "total": before.total,
        "active_before": before.active,
        "in_scope_before": before.target,
        "excluded": before.excluded,
        "revoked_before": before.total - before.active,
        "revoked": revoked,
        "in_scope_after": left,
    }


def findings(entries: List[Dict[str, Any]], skipped: Mapping[str, str], scope: Scope) -> List[Dict[str, Any]]:
    """Return one finding `tokens_active` for each table: ok when nothing in scope is active."""
    made = []
    for entry in entries:
        left = entry["in_scope_after"]
        text = "%s: %s active (%s)" % (entry["table"], _tokens(left), scope.text)
        if entry["excluded"]:
            text += ", %d excluded: %s" % (entry["excluded"], scope.keep_reason)
        observed = {"in_scope": left, "excluded": entry["excluded"], "table": entry["table"]}
        made.append(
            finding(
                "tokens_active",
                "warn" if left else "ok",
                text + ".",
                observed=observed,
                expected={"in_scope": 0},
            )
        )
    for place, why in skipped.items():
        text = "%s: not looked at, %s (it is declared optional)." % (place, why)
        made.append(finding("tokens_active", "ok", text, observed={"table": place, "skipped": why}))
    return made


def _tokens(count: int) -> str:
    return "%s token%s" % ("{:,}".format(count), "" if count == 1 else "s")


def diff(entries: List[Dict[str, Any]], epoch: Optional[Mapping[str, Any]]) -> Dict[str, str]:
    """Return active and revoked tokens of each table, and the epoch, before and after."""
    before, after = "", ""
    for entry in entries:
        line = "%s: {:,} active, {:,} revoked\n" % entry["table"]
        before += line.format(entry["active_before"], entry["revoked_before"])
        revoked = entry["revoked"]
        active = max(0, entry["active_before"] - revoked)
        after += line.format(active, entry["revoked_before"] + revoked)
    if epoch and epoch["changed"]:
        before += "%s: %s\n" % (epoch["place"], epoch["before"])
        after += "%s: %s\n" % (epoch["place"], epoch["after"])
    return {"before": before, "after": after}


def prediction(
    entries: List[Dict[str, Any]], epoch: Optional[Mapping[str, Any]], scope: Scope
) -> Dict[str, Any]:
    """Return what changes, in numbers and in a sentence."""
    rows = sum(entry["revoked"] for entry in entries)
    summary = "%s revoked (%s)" % (_tokens(rows), scope.text)
    if epoch and epoch["changed"]:
        summary = "everything issued before %s is void at once; " % epoch["after"] + summary
    return {
        "summary": summary,
        "rows": rows,
        "duration_s": round(rows / _ROWS_PER_SECOND, 1),
        "data_loss": "none: the ledger tells which tokens were active; whoever used one signs in again",
    }


def undo(run: str, ledger: Mapping[str, Any], database: str, place: str) -> Dict[str, Any]:
    """Return how exactly this revocation is taken back."""
    return {
        "summary": "Make the tokens active again that are in the ledger of run %s (%s) and were not revoked "
        "for another reason since." % (run, place),
        "reversible": True,
        "role": "oncall.runbooks.tokens",
        "entry_point": "undo",
        "args": {"run": run, "database": database, "ledger": dict(ledger)},
    }
