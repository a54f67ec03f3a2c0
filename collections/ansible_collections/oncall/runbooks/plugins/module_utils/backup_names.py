# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the keys of a bucket say: which objects belong to one backup, and the time in its name."""

from __future__ import annotations

__metaclass__ = type

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Optional, Pattern, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError

# Files that say something about a backup and are none themselves.
SIDECAR_SUFFIXES = (".sha256", ".sha256sum", ".md5", ".md5sum")
SIDECAR_NAMES = ("SHA256SUMS", "MD5SUMS", "manifest.json")
_TABLE_OF_CONTENTS = "toc.dat"


@dataclass(frozen=True)
class StoredObject:
    """One object of a bucket as its listing shows it; `size` in bytes, `last_modified` in UTC."""

    key: str
    size: int
    last_modified: datetime
    etag: str = ""


@dataclass(frozen=True)
class UnfinishedUpload:
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    initiated: datetime
    upload_id: str = ""


@dataclass(frozen=True)
class Rules:
    """Which backups count: the options of the modules, checked and parsed.

    `pattern` matches the whole name (the key without the folder of `prefix`) and has the group
    `timestamp`; `before` is a time with zone; `min_size` is in bytes; `key` names one backup explicitly.
    """

    pattern: Pattern[str]
    timestamp_format: str
    prefix: str = ""
    key: str = ""
    before: Optional[datetime] = None
    min_size: int = 0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Rules":
        """Return the rules that a module's options state; raises UsageError naming the wrong option."""
        before = options.get("before") or ""
        return cls(
            pattern=_pattern(options["pattern"]),
            timestamp_format=_format(options["timestamp_format"]),
            prefix=options.get("prefix") or "",
            key=options.get("key") or "",
            before=parse_time(before, option="before") if before else None,
            min_size=int(options.get("min_size") or 0),
        )

    def name_of(self, key: str) -> str:
        """Return the part of `key` that the pattern is matched against."""
        return key[len(self.prefix.rpartition("/")[0]) + 1 :] if "/" in self.prefix else key


@dataclass(frozen=True)
class Name:
    """The objects behind one name; `time` is the text of the group `timestamp`, `precision` its unit.

    `complete` is false for a folder that lacks its table of contents.
    """

    key: str
    parts: Tuple[StoredObject, ...]
    matches: bool
    time: str = ""
    timestamp: Optional[datetime] = None
    precision: timedelta = timedelta(0)
    suffix: str = ""
    directory: bool = False
    complete: bool = True


def parse_time(text: str, *, option: str) -> datetime:
    """Return the time that ISO 8601 `text` names, UTC where it names no offset."""
    try:
        parsed = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))
    except ValueError as error:
        raise UsageError(
            "read the option %s" % option,
            on=text,
            got="not a time in ISO 8601",
            next_step="write it like 2026-11-21T03:00:00Z",
        ) from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def _pattern(text: str) -> Pattern[str]:
    try:
        compiled = re.compile(text)
    except re.error as error:
        raise UsageError(
            "read the option pattern", on=text, got=str(error), next_step="correct the regular expression"
        ) from error
    if "timestamp" not in compiled.groupindex:
        raise UsageError(
            "read the option pattern",
            on=text,
            got="it has no group named timestamp, so no backup would have a time",
            next_step=r"mark the time in it, like roost-(?P<timestamp>\d{8}T\d{6}Z)\.sql\.gz",
        )
    return compiled


def _format(text: str) -> str:
    try:
        datetime.strptime("", text)
    except ValueError as error:
        if "does not match" not in str(error):
            raise UsageError(
                "read the option timestamp_format",
                on=text,
                got=str(error),
                next_step="use the notation of strptime, like %Y%m%dT%H%M%SZ",
            ) from error
    return text


def is_sidecar(key: str) -> bool:
    """Tell whether `key` holds checksums of a backup beside it."""
    return key.endswith(SIDECAR_SUFFIXES) or key.rpartition("/")[2] in SIDECAR_NAMES


def group_objects(objects: Sequence[StoredObject], rules: Rules) -> List[Name]:
    """Return one Name per backup, marker or stranger; the files of one folder backup are one Name."""
    contents = {
        o.key[: -len(_TABLE_OF_CONTENTS)] for o in objects if o.key.endswith("/" + _TABLE_OF_CONTENTS)
    }
    folders: Dict[str, List[StoredObject]] = {}
    names: List[Name] = []
    for stored in objects:
        folder = _backup_folder(stored.key, contents, rules)
        if folder:
            folders.setdefault(folder, []).append(stored)
        elif not is_sidecar(stored.key):
            names.append(_name(stored.key, (stored,), rules))
    for folder, parts in folders.items():
        names.append(_name(folder, tuple(parts), rules, complete=folder in contents))
    return names


def _backup_folder(key: str, contents: Any, rules: Rules) -> str:
    """Return the folder (with its closing slash) whose backup `key` is a part of; empty when of none."""
    start = 0
    while True:
        slash = key.find("/", start)
        if slash < 0:
            return ""
        folder = key[: slash + 1]
        if folder in contents or rules.pattern.fullmatch(rules.name_of(folder)[:-1]):
            return folder
        start = slash + 1


def _name(key: str, parts: Tuple[StoredObject, ...], rules: Rules, complete: bool = True) -> Name:
    directory = key.endswith("/") and (len(parts) > 1 or parts[0].key != key)
    match = rules.pattern.fullmatch(rules.name_of(key).rstrip("/"))
    if match is None:
        return Name(key, parts, matches=False, directory=directory)
    text = match.group("timestamp") or ""
    try:
        parsed = datetime.strptime(text, rules.timestamp_format)
    except ValueError:
        return Name(key, parts, matches=True, time=text, directory=directory)
    return Name(
        key,
        parts,
        matches=True,
        time=text,
        timestamp=(parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).astimezone(timezone.utc),
        precision=_precision(rules.timestamp_format),
        suffix=match.string[match.end("timestamp") :],
        directory=directory,
        complete=complete,
    )


def _precision(timestamp_format: str) -> timedelta:
    """Return how much later than its reading a time of this format can be."""
    if re.search(r"%[SfTXc]", timestamp_format):
        return timedelta(0)
    if re.search(r"%[MR]", timestamp_format):
        return timedelta(minutes=1)
    if re.search(r"%[HI]", timestamp_format):
        return timedelta(hours=1)
    return timedelta(days=1)


def size_text(size: float) -> str:
    """Return a number of bytes for a human: `20 B`, `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return "%d %s" % (size, unit) if unit == "B" else "%.1f %s" % (size, unit)
        size /= 1000.0
    return "%.1f TB" % size


def span_text(span: timedelta) -> str:
    """Return a length of time for a human: `40 s`, `12 min`, `25.0 h`, `30 d`."""
    seconds = abs(span.total_seconds())
    if seconds < 90:
        return "%d s" % seconds
    if seconds < 90 * 60:
        return "%d min" % (seconds / 60)
    if seconds < 72 * 3600:
        return "%.1f h" % (seconds / 3600)
    return "%d d" % (seconds / 86400)


def time_text(when: datetime) -> str:
    """Return a time in ISO 8601 and UTC, to the second."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
