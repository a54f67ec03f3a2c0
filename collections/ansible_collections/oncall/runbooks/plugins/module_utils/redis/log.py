# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Redis's own log says is wrong and has not ended since, sorted into causes."""

from __future__ import annotations

__metaclass__ = type

import re
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.log import SAMPLE, Group, when_of
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, span
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider

MAX_BYTES = 1024 * 1024
_STARTED = r"Ready to accept connections"
# class → (pattern, what in a later line says that it is over), the gravest first
_CLASSES: Tuple[Tuple[str, "re.Pattern[str]", "re.Pattern[str]"], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE), re.compile(over, re.IGNORECASE))
    for name, pattern, over in (
        (
            "corrupt_aof",
            r"Bad file format reading the append only file|Unexpected end of file reading the append only"
            r"|Unrecoverable error reading the append only|AOF .*manifest.* (?:invalid|error|corrupt)"
            r"|Invalid AOF manifest|Error (?:opening|loading|reading) .*append",
            _STARTED,
        ),
        (
            "corrupt_snapshot",
            r"Wrong signature trying to load DB|Short read or OOM loading DB|Wrong RDB checksum|RDB CRC error"
            r"|Internal error in RDB reading|Fatal error loading the DB|Can't handle RDB format",
            _STARTED,
        ),
        (
            "disk_full",
            r"No space left on device|Disk quota exceeded",
            r"DB saved on disk|saving terminated with success",
        ),
        (
            "out_of_memory",
            r"Out Of Memory allocating|Cannot allocate memory|Can't save in background: fork",
            r"DB saved on disk|saving terminated with success|" + _STARTED,
        ),
        (
            "save_failed",
            r"Background saving error|Failed opening .*(?:RDB|rdb|temp-)|Write error (?:saving|writing)"
            r"|Background AOF rewrite (?:terminated by|error)|Error writing to the AOF"
            r"|Short write while writing to the AOF",
            r"Background saving terminated with success|DB saved on disk|AOF write error looks solved",
        ),
        (
            "configuration",
            r"FATAL CONFIG FILE ERROR|Bad directive|Can't chdir to"
            r"|Could not create server TCP listening socket|Failed (?:listening|to write PID)"
            r"|Can't open the log file",
            _STARTED,
        ),
        ("crash", r"REDIS BUG REPORT START|crashed by signal|ASSERTION FAILED|Guru Meditation", _STARTED),
        ("permission", r"Permission denied", r"DB saved on disk|saving terminated with success|" + _STARTED),
        (
            "replication",
            r"Error condition on socket for SYNC|MASTER aborted replication|Unable to connect to MASTER"
            r"|MASTER .*(?:NOAUTH|auth)",
            r"MASTER <-> REPLICA sync: Finished with success|MASTER MODE enabled",
        ),
        ("clients", r"max number of clients reached|Error accepting a client connection", _STARTED),
    )
)
ORDER = [name for name, _pattern, _over in _CLASSES]
_GRAVE = ("corrupt_aof", "corrupt_snapshot", "disk_full", "out_of_memory", "save_failed", "configuration")
_TIME = re.compile(r"\b(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def time_of(line: str) -> Optional[datetime]:
    """Return the time of a line: the container engine's, or Redis's own, which is the host's local time."""
    found = when_of(line[:40])
    match = None if found else _TIME.search(line[:60])
    if match and match.group(2) in _MONTHS:
        day, year, hour, minute, second = (int(match.group(i)) for i in (1, 3, 4, 5, 6))
        month = _MONTHS.index(match.group(2)) + 1
        found = datetime(year, month, day, hour, minute, second).astimezone(timezone.utc)
    return found


def still_wrong(lines: Iterable[str], secrets: Sequence[str] = ()) -> List[Group]:
    """Return the complaints of a log that no later line says to be over, the gravest first."""
    groups: Dict[str, Group] = {}
    for line in lines:
        for name, _pattern, over in _CLASSES:
            if name in groups and over.search(line):
                del groups[name]
        found = next((name for name, pattern, _over in _CLASSES if pattern.search(line)), None)
        if found:
            groups.setdefault(found, Group(found)).add(scrub(line.strip(), secrets)[:SAMPLE], time_of(line))
    return sorted(groups.values(), key=lambda group: ORDER.index(group.name))


def measure_redis_log(
    provider: Provider, hours: float, secrets: Sequence[str] = (), now: Optional[datetime] = None
) -> Iterator[Dict[str, Any]]:
    """Yield the finding `redis_log`: complaints of the last `hours` that are not over."""
    read = provider.logs(hours=hours, max_bytes=MAX_BYTES)
    now = now or datetime.now(timezone.utc)
    lines = [line for line in read.text.splitlines() if _young(line, now, hours)]
    groups = still_wrong(lines, secrets)
    grave = any(group.name in _GRAVE for group in groups)
    yield finding(
        "redis_log",
        "fail" if grave else "warn" if groups else "ok",
        _summary(groups, len(lines), read.source, now),
        observed={
            "worst": groups[0].name if groups else "",
            "classes": {group.name: group.count for group in groups},
            "source": read.source,
            "lines": len(lines),
        },
        expected={"classes": {}},
        details=[group.as_dict() for group in groups] or None,
    )


def _young(line: str, now: datetime, hours: float) -> bool:
    when = time_of(line)
    return when is None or (now - when).total_seconds() <= hours * 3600


def _summary(groups: Sequence[Group], lines: int, source: str, now: datetime) -> str:
    if not groups:
        return "Nothing that is still wrong in %s of %s." % (plural(lines, "line"), source)
    parts = []
    for group in groups:
        ago = ", the last %s ago" % span((now - group.last).total_seconds()) if group.last else ""
        parts.append("%s: %s%s" % (group.name, plural(group.count, "line"), ago))
    return "Still wrong in %s of %s: %s. Last: %s" % (
        plural(lines, "line"),
        source,
        "; ".join(parts),
        groups[0].sample,
    )
