# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service's own log complains about, sorted into causes, without secrets and addresses of people."""

from __future__ import annotations

__metaclass__ = type

import re
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.log import SAMPLE, Group, when_of
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub_people
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.service_errors import measure_errors
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, span
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider

MAX_BYTES = 1024 * 1024
Classes = Sequence[Tuple[str, "re.Pattern[str]"]]

#: class → pattern, the gravest first; a line belongs to the first that matches
CLASSES: Classes = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("disk_full", r"No space left on device|ENOSPC|disk (?:is )?full|Disk quota exceeded"),
        (
            "out_of_memory",
            r"\bout of memory\b|Cannot allocate memory|\bMemoryError\b|heap limit|\bOOM\b|ENOMEM",
        ),
        (
            "database",
            r"\bdb connection\b|database (?:is )?(?:unavailable|unreachable|down)|could not connect to server"
            r"|connection to server .* failed|too many clients|remaining connection slots"
            r"|\bECONNREFUSED\b.*\b5432\b|\bSQLSTATE\b|OperationalError|password authentication failed"
            r"|the database system is",
        ),
        (
            "configuration",
            r"(?:missing|required|undefined) (?:environment|env|setting|config)|environment variable"
            r"|secretOrPrivateKey must|secret (?:is )?(?:missing|empty|too short|not set)"
            r"|\b[A-Z][A-Z0-9_]{3,} (?:is )?(?:missing|empty|not set|must be set|required)",
        ),
        (
            "tokens",
            r"JsonWebToken|invalid (?:token|signature|jwt)"
            r"|(?:token|jwt|signature)\b.{0,40}\b(?:invalid|rejected|verification failed"
            r"|validation (?:error|failed))|jwt (?:expired|malformed)|bad signature",
        ),
        (
            "upstream",
            r"\bbad gateway\b|connection refused|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND"
            r"|connection reset|timed? ?out\b|no route to host|name resolution",
        ),
        ("crash", r"\bpanic:|Traceback \(most recent|unhandled|uncaught|segmentation fault|\bfatal\b"),
        ("error", r"\b(?:ERROR|CRITICAL|ALERT|EMERG)\b|\"level\":\s*\"?(?:error|fatal|50|60)\b|level=error"),
    )
)
_GRAVE = ("disk_full", "out_of_memory")
# A line that calls itself harmless is believed, whatever words it quotes.
_HARMLESS = re.compile(
    r"(?:^|[\s\[|])(?:DEBUG|INFO|NOTICE|TRACE)\b|\"level\":\s*\"?(?:info|debug|trace|10|20|30)\b|level=(?:info|debug)"
)


def classes_with(patterns: Mapping[str, str]) -> Classes:
    """Return the classes with the system's own patterns (regular expression → class) before them."""
    own: List[Tuple[str, "re.Pattern[str]"]] = []
    for pattern, name in patterns.items():
        try:
            own.append((str(name), re.compile(pattern, re.IGNORECASE)))
        except re.error as exc:
            raise UsageError(
                "use a log pattern", on=pattern, got=str(exc), next_step="write a regular expression"
            ) from None
    return [*own, *CLASSES]


def classify(line: str, classes: Classes) -> Optional[str]:
    """Return the class of one line, None when it complains of nothing."""
    if _HARMLESS.search(line[:200]):
        return None
    return next((name for name, pattern in classes if pattern.search(line)), None)


def measure_service_log(
    provider: Provider, rules: Mapping[str, Any], now: Optional[datetime] = None
) -> Iterator[Dict[str, Any]]:
    """Yield the complaints of the last `window_minutes` of the service's log, the gravest class first.

    Where the rules say how an answer looks in it, also how many of them were errors of the server.
    """
    classes, minutes = classes_with(rules["patterns"]), rules["window_minutes"]
    read = provider.logs(hours=minutes / 60.0, max_bytes=MAX_BYTES)
    now = now or datetime.now(timezone.utc)
    lines = [
        (line, when)
        for line, when in _dated(read.text.splitlines())
        if when is None or (now - when).total_seconds() <= minutes * 60
    ]
    groups = _grouped(lines, classes)
    yield finding(
        "service_log",
        _status(groups),
        _summary(groups, len(lines), minutes, read.source, now),
        observed={
            "worst": groups[0].name if groups else "",
            "classes": {group.name: group.count for group in groups},
            "first": _first(lines, classes),
            "source": read.source,
            "lines": len(lines),
            "window_minutes": minutes,
        },
        expected={"classes": {}},
        details=[group.as_dict() for group in groups] or None,
    )
    if rules.get("answers"):
        yield measure_errors((line for line, _when in lines), rules["answers"], minutes)


def _dated(lines: Iterable[str]) -> Iterator[Tuple[str, Optional[datetime]]]:
    """A line without a time of its own (a traceback) belongs to the one before."""
    last: Optional[datetime] = None
    for line in lines:
        last = when_of(line[:100]) or last
        yield line, last


def _grouped(lines: Iterable[Tuple[str, Optional[datetime]]], classes: Classes) -> List[Group]:
    groups: Dict[str, Group] = {}
    for line, when in lines:
        name = classify(line, classes)
        if name:
            groups.setdefault(name, Group(name)).add(scrub_people(line.strip())[:SAMPLE], when)
    order = [name for name, _pattern in classes]
    return sorted(groups.values(), key=lambda group: order.index(group.name))


def _first(lines: Iterable[Tuple[str, Optional[datetime]]], classes: Classes) -> str:
    """The first complaint: what comes after it is often only its echo."""
    found = (line for line, _when in lines if classify(line, classes))
    return scrub_people(next(found, "").strip())[:SAMPLE]


def _status(groups: Sequence[Group]) -> str:
    if any(group.name in _GRAVE for group in groups):
        return "fail"
    return "warn" if groups else "ok"


def _summary(groups: Sequence[Group], lines: int, minutes: float, source: str, now: datetime) -> str:
    where = "the last %s of %s (%s)" % (span(minutes * 60), source, plural(lines, "line"))
    if not groups:
        return "Nothing to complain of in %s." % where
    parts = []
    for group in groups:
        ago = ", the last %s ago" % span((now - group.last).total_seconds()) if group.last else ""
        parts.append("%s: %s%s" % (group.name, plural(group.count, "line"), ago))
    return "In %s: %s. Last: %s" % (where, "; ".join(parts), groups[0].sample)
