# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last errors of PostgreSQL's log, sorted into causes."""

from __future__ import annotations

__metaclass__ = type

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, span
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider

#: class → pattern, the gravest first: a line belongs to the first that matches; `worst` has this order
CLASSES: Tuple[Tuple[str, "re.Pattern[str]"], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        (
            "corruption",
            r"invalid page in block|page verification failed|could not read block|read only \d+ of \d+ bytes"
            r"|invalid memory alloc request|missing chunk number|unexpected chunk"
            r"|could not open file \"base/.*No such file"
            r"|could not access status of transaction|invalid primary checkpoint"
            r"|could not locate a valid checkpoint"
            r"|database files are incompatible|index \".*\" (?:contains|is not a btree)"
            r"|found xmin .* from before"
            r"|incorrect checksum in control file|invalid magic number",
        ),
        (
            "disk_full",
            r"No space left on device|Disk quota exceeded|could not extend file"
            r"|could not write to file .*quota",
        ),
        (
            "out_of_memory",
            r"\bout of memory\b|Cannot allocate memory|terminated by signal 9\b|could not fork"
            r"|could not resize shared memory",
        ),
        (
            "crash_loop",
            r"terminated by signal|startup process .*(?:exited|failure)|aborting startup"
            r"|all server processes terminated; reinitializing|database system was interrupted"
            r"|not properly shut down; automatic recovery",
        ),
        ("too_many_clients", r"too many clients|remaining connection slots|too many connections for"),
        ("permission", r"Permission denied|has wrong ownership|invalid permissions|permission denied for"),
        (
            "authentication",
            r"authentication failed|no pg_hba\.conf entry|role \".*\" does not exist"
            r"|role \".*\" is not permitted to log in",
        ),
    )
)
ORDER = [name for name, _pattern in CLASSES] + ["other"]
# These say that the server or its data is in danger now; the others that clients are.
_GRAVE = ("corruption", "disk_full", "out_of_memory", "crash_loop")
# The first such word of a line is its level: what follows may be text that a client sent.
_LEVEL = re.compile(
    r"\b(PANIC|FATAL|ERROR|LOG|WARNING|STATEMENT|DETAIL|HINT|CONTEXT|QUERY|NOTICE|INFO|DEBUG\d?):\s"
)
_ERROR_LEVELS = ("PANIC", "FATAL", "ERROR", "LOG", "WARNING")
_STAMP = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.\d+)?\s?(Z|UTC|GMT|[+-]\d{2}:?\d{2})?")
# Everyday ends of sessions and shutdowns that are asked for: they are FATAL by name only.
_HARMLESS = re.compile(
    r"terminating connection due to administrator command"
    r"|the database system is (?:starting up|shutting down|in recovery)"
    r"|connection to client lost|canceling statement due to|database \".*\" does not exist"
    r"|not yet accepting connections"
    r"|terminating walreceiver|terminating background worker"
)
SAMPLE = 300


@dataclass
class Group:
    """The lines of one class: how many, the first and the last time (UTC, None = unknown), one of them."""

    name: str
    count: int = 0
    first: Optional[datetime] = None
    last: Optional[datetime] = None
    sample: str = ""

    def add(self, line: str, when: Optional[datetime]) -> None:
        """Count one more line; the last one is the sample."""
        self.count += 1
        self.first = self.first or when
        self.last = when or self.last
        self.sample = line

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data."""
        times = {
            k: v.strftime("%Y-%m-%dT%H:%M:%SZ") if v else None
            for k, v in (("first", self.first), ("last", self.last))
        }
        return {"class": self.name, "count": self.count, "sample": self.sample, **times}


def classify(line: str) -> Optional[str]:
    """Return the class of one log line, or None when it reports no error.

    A LOG line counts when it names a cause (a crash is told at that level); other errors are `other`.
    """
    level = _LEVEL.search(line)
    if not level or level.group(1) not in _ERROR_LEVELS or _HARMLESS.search(line):
        return None
    for name, pattern in CLASSES:
        if pattern.search(line):
            # An ordinary statement's error is not the server's: only roles and rights of logins count.
            if name == "permission" and level.group(1) == "ERROR" and "permission denied for" in line:
                return None
            return name
    return "other" if level.group(1) in ("PANIC", "FATAL") else None


def group_lines(lines: Iterable[str], secrets: Sequence[str] = ()) -> List[Group]:
    """Return the groups of the error lines, the gravest first."""
    groups: Dict[str, Group] = {}
    for line in lines:
        name = classify(line)
        if name:
            groups.setdefault(name, Group(name)).add(scrub(line.strip(), secrets)[:SAMPLE], when_of(line))
    return sorted(groups.values(), key=lambda group: ORDER.index(group.name))


def when_of(line: str) -> Optional[datetime]:
    """Return the first time in a line of a log (UTC where it names no zone), None when it has none."""
    match = _STAMP.search(line)
    if not match:
        return None
    zone = match.group(3) or "Z"
    zone = "+0000" if zone in ("Z", "UTC", "GMT") else zone.replace(":", "")
    text = "%sT%s%s" % (match.group(1), match.group(2), zone)
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").astimezone(timezone.utc)


def measure_log(
    provider: Provider, limits: Mapping[str, Any], secrets: Sequence[str], now: Optional[datetime] = None
) -> Iterator[Dict[str, Any]]:
    """Yield the errors of the last `log_hours`, found in the last `log_max_bytes` of the log."""
    read = provider.logs(hours=limits["log_hours"], max_bytes=limits["log_max_bytes"])
    now = now or datetime.now(timezone.utc)
    lines = read.text.splitlines()
    groups = group_lines((line for line in lines if _young(line, now, limits["log_hours"])), secrets)
    recent = [g for g in groups if g.last is None or (now - g.last).total_seconds() <= limits["log_recent"]]
    # What the operator has to act on is what still happens; older lines are history, still shown.
    worst = (recent or groups)[0].name if groups else ""
    yield finding(
        "postgres_log",
        _status(groups, recent),
        _summary(read.source, len(lines), groups, now),
        observed={
            "worst": worst,
            "recent": [g.name for g in recent],
            "classes": {g.name: g.count for g in groups},
            "source": read.source,
            "lines": len(lines),
        },
        expected={"classes": {}},
        details=[g.as_dict() for g in groups] or None,
    )


def _young(line: str, now: datetime, hours: float) -> bool:
    when = when_of(line)
    return when is None or (now - when).total_seconds() <= hours * 3600


def _status(groups: List[Group], recent: List[Group]) -> str:
    if any(group.name in _GRAVE or group.name == "too_many_clients" for group in recent):
        return "fail"
    return "warn" if groups else "ok"


def _summary(source: str, lines: int, groups: List[Group], now: datetime) -> str:
    if not groups:
        return "No errors in the last %d lines of %s." % (lines, source)
    parts = []
    for group in groups:
        ago = ", the last %s ago" % span((now - group.last).total_seconds()) if group.last else ""
        parts.append("%s: %s%s" % (group.name, plural(group.count, "line"), ago))
    return "Errors in the last %d lines of %s: %s. Last: %s" % (
        lines,
        source,
        "; ".join(parts),
        groups[0].sample,
    )
