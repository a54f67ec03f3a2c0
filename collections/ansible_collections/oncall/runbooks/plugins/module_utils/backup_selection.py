# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of the objects in a bucket is the backup to restore, and why every other one is not.

Pure: what a bucket holds goes in, a judgement with reasons comes out; no clock, no network.
"""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from statistics import median
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import (
    Name,
    Rules,
    StoredObject,
    UnfinishedUpload,
    group_objects,
    size_text,
    span_text,
    time_text,
)

# Clocks of two well-kept machines differ by less; an object store itself refuses requests beyond 15 minutes.
CLOCK_TOLERANCE = timedelta(minutes=5)
# The largest distance of a local time from UTC: a name in local time looks this much too new at most.
ZONE_TOLERANCE = timedelta(hours=14)
# A dump that takes longer than this to make and upload is a dump that was copied there later.
UPLOAD_TOLERANCE = timedelta(hours=12)
# How much smaller than its predecessors a backup may be, and how many of them are asked.
TREND_RATIO = 0.5
TREND_WINDOW = 7


@dataclass(frozen=True)
class Candidate:
    """One backup: a single object, or all objects of a backup in directory format.

    `key` is the object's key, or the folder's with its closing slash. `timestamp` is the time of the
    backup (from its name); `latest` is the latest time its content can be from, which differs where
    the name is less precise than a second. `notes` are sentences that do not speak against it.
    """

    key: str
    timestamp: datetime
    latest: datetime
    last_modified: datetime
    size: int
    parts: Tuple[StoredObject, ...]
    suffix: str = ""
    directory: bool = False
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def etag(self) -> str:
        """ETag of the single object; empty for a backup in directory format."""
        return "" if self.directory else self.parts[0].etag

    def with_warning(self, warning: str) -> "Candidate":
        """Return the same backup with one more warning."""
        return replace(self, warnings=(*self.warnings, warning))

    def as_dict(self) -> Dict[str, Any]:
        """The same for a result; times in ISO 8601, size in bytes."""
        return {
            "key": self.key,
            "timestamp": time_text(self.timestamp),
            "last_modified": time_text(self.last_modified),
            "size": self.size,
            "etag": self.etag,
            "parts": len(self.parts),
            "directory": self.directory,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Rejected:
    """Something in the bucket that will not be restored; `kind` is for machines, `reason` a sentence."""

    key: str
    kind: str
    reason: str
    size: Optional[int] = None
    timestamp: Optional[datetime] = None
    last_modified: Optional[datetime] = None

    def as_dict(self) -> Dict[str, Any]:
        """The same for a result."""
        return {
            "key": self.key,
            "kind": self.kind,
            "reason": self.reason,
            "size": self.size,
            "timestamp": time_text(self.timestamp) if self.timestamp else None,
            "last_modified": time_text(self.last_modified) if self.last_modified else None,
        }


@dataclass(frozen=True)
class Selection:
    """The judgement: `good` from old to new, `chosen` is one of them or the one named explicitly."""

    chosen: Optional[Candidate]
    good: Tuple[Candidate, ...]
    rejected: Tuple[Rejected, ...]
    warnings: Tuple[str, ...] = ()


def select(
    objects: Sequence[StoredObject], uploads: Sequence[UnfinishedUpload], rules: Rules, now: datetime
) -> Selection:
    """Judge everything in the bucket and choose the newest good backup that `rules` allow.

    `now` is the time by the store's clock. An explicit `rules.key` is chosen whatever speaks against
    it, as long as it is there and complete; what speaks against it becomes a warning.
    """
    candidates: List[Candidate] = []
    rejected = [_unfinished(upload) for upload in uploads]
    for name in group_objects(objects, rules):
        verdict = _read_name(name, rules)
        if isinstance(verdict, Rejected):
            rejected.append(verdict)
        else:
            candidates.append(verdict)
    good, small = _judge_sizes(sorted(candidates, key=_order), rules)
    rejected += small
    warnings = _clock_warnings(objects, now)
    if rules.key:
        return replace(_explicit(objects, good, rejected, rules), warnings=warnings)
    in_time = [c for c in good if rules.before is None or c.latest <= rules.before]
    rejected += [_too_new(c, rules.before) for c in good if c not in in_time]
    return Selection(in_time[-1] if in_time else None, tuple(in_time), _sorted(rejected), warnings)


def reject(selection: Selection, candidate: Candidate, kind: str, reason: str) -> Selection:
    """Return the selection after a closer look spoke against `candidate`: now an older one is chosen."""
    good = tuple(c for c in selection.good if c.key != candidate.key)
    turned_down = _rejected(candidate, kind, reason)
    return replace(
        selection,
        chosen=good[-1] if good else None,
        good=good,
        rejected=_sorted([*selection.rejected, turned_down]),
    )


def _clock_warnings(objects: Sequence[StoredObject], now: datetime) -> Tuple[str, ...]:
    ahead = max((o.last_modified - now for o in objects), default=timedelta(0))
    if ahead <= CLOCK_TOLERANCE:
        return ()
    return ("An object was uploaded %s in the future: this machine's clock is behind." % span_text(ahead),)


def _order(candidate: Candidate) -> Tuple[datetime, datetime, str]:
    # Two backups of the same second: the one uploaded last, and then any fixed order.
    return candidate.timestamp, candidate.last_modified, candidate.key


def _sorted(rejected: Sequence[Rejected]) -> Tuple[Rejected, ...]:
    epoch = datetime.fromtimestamp(0, timezone.utc)
    return tuple(
        sorted(rejected, key=lambda r: (r.timestamp or r.last_modified or epoch, r.key), reverse=True)
    )


def _read_name(name: Name, rules: Rules) -> Union[Candidate, Rejected]:
    """Return the Candidate that one name stands for, or why it is none."""
    last_modified = max(part.last_modified for part in name.parts)
    size = sum(part.size for part in name.parts)

    def no(kind: str, reason: str, timestamp: Optional[datetime] = None) -> Rejected:
        return Rejected(name.key, kind, reason, size, timestamp, last_modified)

    if not name.matches:
        return no("pattern", "its name does not match the pattern: not a backup of this system")
    if name.timestamp is None:
        return no(
            "timestamp",
            "the time %r in its name is not in the format %r" % (name.time, rules.timestamp_format),
        )
    if size == 0:
        return no("empty", "it is empty (0 bytes)", name.timestamp)
    if name.directory and not name.complete:
        return no("incomplete", "it is a folder without toc.dat: its upload did not finish", name.timestamp)
    return _cross_check(name, name.timestamp, last_modified, size)


def _cross_check(
    name: Name, named: datetime, last_modified: datetime, size: int
) -> Union[Candidate, Rejected]:
    """Hold the time in the name against the time of the upload, which no backup can be newer than."""
    notes: List[str] = []
    timestamp, latest = named, named + name.precision
    ahead, behind = named - last_modified, last_modified - latest
    if ahead > ZONE_TOLERANCE:
        return Rejected(
            name.key,
            "misnamed",
            "its name says %s, but it was uploaded %s, %s earlier: its name cannot be true"
            % (time_text(named), time_text(last_modified), span_text(ahead)),
            size,
            named,
            last_modified,
        )
    if ahead > CLOCK_TOLERANCE:
        timestamp = latest = last_modified
        notes.append(
            "its name says %s, %s after its upload; the upload counts (is the name in local time?)"
            % (time_text(named), span_text(ahead))
        )
    elif last_modified >= named:
        latest = min(latest, last_modified)
    if behind > UPLOAD_TOLERANCE:
        notes.append(
            "it was uploaded %s, %s after the time in its name: copied there later; the name counts"
            % (time_text(last_modified), span_text(behind))
        )
    return Candidate(
        name.key,
        timestamp,
        latest,
        last_modified,
        size,
        name.parts,
        name.suffix,
        name.directory,
        tuple(notes),
    )


def _judge_sizes(candidates: Sequence[Candidate], rules: Rules) -> Tuple[List[Candidate], List[Rejected]]:
    """Part the backups, given from old to new, by the minimum size and by the size of their predecessors."""
    good: List[Candidate] = []
    small: List[Rejected] = []
    for candidate in candidates:
        problem = _size_problem(candidate, good, rules)
        if problem is None:
            good.append(candidate)
        else:
            small.append(_rejected(candidate, *problem))
    return good, small


def _size_problem(candidate: Candidate, good: Sequence[Candidate], rules: Rules) -> Optional[Tuple[str, str]]:
    if candidate.size < rules.min_size:
        return "min_size", "it has %s, less than the minimum of %s" % (
            size_text(candidate.size),
            size_text(rules.min_size),
        )
    # Only backups of the same kind can be compared: a plain dump is several times its compressed one.
    earlier = [c.size for c in good if c.suffix == candidate.suffix][-TREND_WINDOW:]
    if earlier and candidate.size < TREND_RATIO * median(earlier):
        return (
            "trend",
            "it has %s, less than half of the %s that the %d good ones before it have (median)"
            % (
                size_text(candidate.size),
                size_text(int(median(earlier))),
                len(earlier),
            ),
        )
    return None


def _explicit(
    objects: Sequence[StoredObject], good: Sequence[Candidate], rejected: List[Rejected], rules: Rules
) -> Selection:
    """Choose the backup that was asked for by its key; what speaks against it becomes a warning."""
    for candidate in good:
        if candidate.key.rstrip("/") == rules.key.rstrip("/"):
            return Selection(_warn_if_too_new(candidate, rules), tuple(good), _sorted(rejected))
    against = next((r for r in rejected if r.key == rules.key), None)
    parts = tuple(o for o in objects if o.key == rules.key or _is_part(o.key, rules.key))
    if against is None or against.kind in ("unfinished", "empty", "incomplete") or not parts:
        return Selection(None, tuple(good), _sorted(rejected))
    last_modified = max(part.last_modified for part in parts)
    timestamp = against.timestamp or last_modified
    candidate = Candidate(
        rules.key,
        timestamp,
        timestamp,
        last_modified,
        sum(part.size for part in parts),
        parts,
        directory=rules.key.endswith("/"),
        warnings=("%s would not be chosen by itself: %s" % (rules.key, against.reason),),
    )
    others = [r for r in rejected if r is not against]
    return Selection(_warn_if_too_new(candidate, rules), tuple(good), _sorted(others))


def _is_part(key: str, folder: str) -> bool:
    return folder.endswith("/") and key.startswith(folder)


def _warn_if_too_new(candidate: Candidate, rules: Rules) -> Candidate:
    if rules.before is None or candidate.latest <= rules.before:
        return candidate
    return candidate.with_warning(_too_new(candidate, rules.before).reason)


def _too_new(candidate: Candidate, before: Optional[datetime]) -> Rejected:
    limit = before or candidate.latest
    reason = "it may hold changes up to %s, %s after the time asked for (%s)" % (
        time_text(candidate.latest),
        span_text(candidate.latest - limit),
        time_text(limit),
    )
    return _rejected(candidate, "before", reason)


def _unfinished(upload: UnfinishedUpload) -> Rejected:
    return Rejected(
        upload.key,
        "unfinished",
        "its upload, begun %s, was never completed" % time_text(upload.initiated),
        last_modified=upload.initiated,
    )


def _rejected(candidate: Candidate, kind: str, reason: str) -> Rejected:
    return Rejected(candidate.key, kind, reason, candidate.size, candidate.timestamp, candidate.last_modified)
