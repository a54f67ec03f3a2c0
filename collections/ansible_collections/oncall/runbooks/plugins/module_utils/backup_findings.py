# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the judgement on a bucket of backups means for somebody who may have to restore: findings."""

from __future__ import annotations

__metaclass__ = type

from datetime import datetime, timedelta
from statistics import median
from typing import Any, Dict, List

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import Found
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import size_text, span_text
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_selection import (
    CLOCK_TOLERANCE,
    TREND_RATIO,
    TREND_WINDOW,
    Candidate,
    Rejected,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding

CHECKS = ("backup_newest", "backup_age", "backup_size_trend", "backup_rejected")
# Nobody uploads one backup for longer than this.
_ABANDONED = timedelta(hours=24)
_SIZE_KINDS = ("trend", "min_size", "empty")


def findings_of(found: Found, max_age_hours: float) -> List[Dict[str, Any]]:
    """Return the four findings on the backups; `max_age_hours` is the limit of the newest one's age."""
    return [_newest(found), _age(found, max_age_hours), _size_trend(found), _rejected(found)]


def findings_of_failure(error: OncallError) -> List[Dict[str, Any]]:
    """Return the same findings when the bucket could not be looked at: never ok.

    What the operator has to correct (rights, names, credentials) is a failure, because a restore would
    fail on it too; a store that does not answer leaves the state of the backups unknown.
    """
    status = "fail" if isinstance(error, (DeniedError, UsageError)) else "unknown"
    first = finding(
        CHECKS[0], status, error.message, observed=error.kind, expected="a backup", details=error.as_dict()
    )
    rest = [
        finding(check, "unknown", "Not measured: the backups could not be looked at (%s)." % error.kind)
        for check in CHECKS[1:]
    ]
    return [first, *rest]


def candidates_of(found: Found) -> List[Dict[str, Any]]:
    """Return every object looked at with its verdict and the reason for it, the newest first."""
    chosen = found.chosen
    listed = [_good_row(c, chosen) for c in found.selection.good if chosen is None or c.key != chosen.key]
    if chosen is not None:
        listed.append(_good_row(chosen, chosen))
    listed += [{**r.as_dict(), "verdict": "rejected"} for r in found.selection.rejected]
    return sorted(
        listed, key=lambda row: (row["timestamp"] or row["last_modified"] or "", row["key"]), reverse=True
    )


def _good_row(candidate: Candidate, chosen: Any) -> Dict[str, Any]:
    row = candidate.as_dict()
    if chosen is not None and candidate.key == chosen.key:
        return {**row, "verdict": "chosen", "reason": "the newest good backup that was asked for"}
    reason = "good"
    if chosen is not None:
        reason += ", but %s older than the chosen one" % span_text(chosen.timestamp - candidate.timestamp)
    return {**row, "verdict": "good", "reason": reason}


def _newer_rejected(found: Found) -> List[Rejected]:
    """Return what was turned down although by its name it is newer than the chosen backup."""
    chosen = found.chosen
    return [
        r
        for r in found.selection.rejected
        if r.kind != "before" and r.timestamp and (chosen is None or r.timestamp > chosen.timestamp)
    ]


def _newest(found: Found) -> Dict[str, Any]:
    chosen, passed_over = found.chosen, _newer_rejected(found)
    expected = "a good backup"
    if chosen is None:
        return finding(
            "backup_newest",
            "fail",
            "No backup under %s can be restored: %d objects looked at, none is good."
            % (found.place, len(found.selection.rejected)),
            expected=expected,
        )
    summary = "The newest good backup is %s (%s)." % (chosen.key, size_text(chosen.size))
    if passed_over:
        why = "see backup_rejected"
        if not _is_alarming(passed_over[0], found.now):
            # Only what is alarming is described there.
            why = "%s: %s" % (passed_over[0].key, passed_over[0].reason)
        summary = "%s %d newer %s turned down: %s." % (
            summary,
            len(passed_over),
            "one was" if len(passed_over) == 1 else "ones were",
            why,
        )
    if found.warnings:
        summary += " " + found.warnings[0]
    status = "warn" if passed_over or found.all_warnings else "ok"
    return finding(
        "backup_newest",
        status,
        summary,
        observed=chosen.key,
        expected=expected,
        details={"warnings": list(found.all_warnings)},
    )


def _age(found: Found, limit: float) -> Dict[str, Any]:
    times = [c.timestamp for c in found.selection.good]
    times += [r.timestamp for r in found.selection.rejected if r.kind == "before" and r.timestamp]
    if found.chosen is not None:
        times.append(found.chosen.timestamp)
    if not times:
        return finding("backup_age", "fail", "There is no good backup of any age.", expected=limit)
    hours = (found.now - max(times)) / timedelta(hours=1)
    status, note = "ok" if hours <= limit else "fail", ""
    if status == "ok" and found.now - max(times) < -CLOCK_TOLERANCE:
        status, note = "warn", " Its time is in the future: a clock is wrong."
    summary = "The newest good backup is %.1f h old (limit %g h).%s" % (hours, limit, note)
    return finding("backup_age", status, summary, observed=round(hours, 2), expected=limit)


def _size_trend(found: Found) -> Dict[str, Any]:
    small = [r for r in _newer_rejected(found) if r.kind in _SIZE_KINDS]
    if small:
        return finding(
            "backup_size_trend",
            "fail",
            "The newest one is too small (%s): see backup_rejected." % size_text(small[0].size or 0),
            observed=small[0].size,
            details={"too_small": [r.key for r in small]},
        )
    chosen = found.chosen
    if chosen is None:
        return finding(
            "backup_size_trend", "unknown", "There is no good backup whose size could be compared."
        )
    earlier = _earlier_sizes(found, chosen.timestamp, chosen.suffix)
    if not earlier:
        summary = "%s has %s; there is no earlier good one to compare." % (chosen.key, size_text(chosen.size))
        return finding("backup_size_trend", "unknown", summary, observed=chosen.size)
    usual = int(median(earlier))
    return finding(
        "backup_size_trend",
        "ok" if chosen.size >= TREND_RATIO * usual else "fail",
        "The newest good backup has %s; the %d before it have %s (median)."
        % (size_text(chosen.size), len(earlier), size_text(usual)),
        observed=chosen.size,
        expected={"at_least": int(TREND_RATIO * usual), "median": usual},
    )


def _earlier_sizes(found: Found, before: datetime, suffix: str) -> List[int]:
    same = [c.size for c in found.selection.good if c.suffix == suffix and c.timestamp < before]
    return same[-TREND_WINDOW:]


def _rejected(found: Found) -> Dict[str, Any]:
    rejected = found.selection.rejected
    # The newest first: it is the one that the other findings point to.
    alarming = sorted(
        (r for r in rejected if _is_alarming(r, found.now)),
        key=lambda r: str(r.timestamp or r.last_modified or ""),
        reverse=True,
    )
    counts = {kind: sum(r.kind == kind for r in rejected) for kind in sorted({r.kind for r in rejected})}
    summary = "No object was turned down."
    if rejected:
        listed = ", ".join("%d %s" % (count, kind) for kind, count in counts.items())
        summary = "%d objects were turned down (%s)." % (len(rejected), listed)
    if alarming:
        summary += " %s: %s." % (alarming[0].key, alarming[0].reason)
    return finding(
        "backup_rejected",
        "warn" if alarming else "ok",
        summary,
        observed=counts,
        expected="no broken backup",
        details=[r.as_dict() for r in rejected],
    )


def _is_alarming(rejected: Rejected, now: datetime) -> bool:
    """Tell whether something is wrong, as opposed to another system's files or an upload under way."""
    if rejected.kind == "unfinished":
        return rejected.last_modified is not None and now - rejected.last_modified > _ABANDONED
    return rejected.kind not in ("pattern", "before")
