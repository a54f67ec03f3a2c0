# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The event log as a chain: each line carries the hash of the line before, so no edit passes unseen.

A line is `{"prev":"<hash of the line before>","n":<number>,…,"hash":"<SHA-256 of the bytes before it>"}`.
The first `prev` is made from the run id, so a log cannot be passed off as another run's. Verification works
on the bytes and covers every one of them; it needs no parsing, which keeps 100,000 events within two seconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_engine.errors import RecordError

_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_TAIL_LENGTH = len(b',"hash":"') + 64 + len(b'"}')


@dataclass(frozen=True)
class Head:
    """Where a chain stands: how many events it has, and the hash of the last one."""

    events: int
    hash: str


def genesis(run: str) -> Head:
    """Return the head of the empty log of `run`."""
    return Head(0, hashlib.sha256(f"oncall.runbooks/record/1:{run}".encode()).hexdigest())


def seal(head: Head, at: str, kind: str, data: dict[str, Any]) -> tuple[bytes, Head]:
    """Return the line (with its line end) of the next event, and the head after it."""
    body = json.dumps({"at": at, "type": kind, "data": data}, ensure_ascii=False, separators=(",", ":"))
    number = head.events + 1
    text = f'{{"prev":"{head.hash}","n":{number},{body[1:-1]}'.encode()
    own = hashlib.sha256(text).hexdigest()
    return text + f',"hash":"{own}"}}\n'.encode(), Head(number, own)


def check_line(line: bytes, head: Head) -> Head:
    """Return the head after `line` (without its line end); raise RecordError when it is not the next one."""
    number = head.events + 1
    if not line.startswith(f'{{"prev":"{head.hash}","n":{number},'.encode()):
        raise _broken(number, "does not follow the event before it")
    tail = _TAIL.fullmatch(line[-_TAIL_LENGTH:])
    own = hashlib.sha256(line[:-_TAIL_LENGTH]).hexdigest()
    if tail is None or tail.group(1).decode() != own:
        raise _broken(number, "is not what was written")
    return Head(number, own)


def verify_lines(raw: bytes, run: str) -> Head:
    """Check the whole log `raw` of `run` and return its head; raise RecordError with the first bad event."""
    head = genesis(run)
    lines = raw.split(b"\n")
    last = lines.pop()
    for line in lines:
        head = check_line(line, head)
    if last:
        raise _broken(head.events + 1, "is cut off in the middle of its line")
    return head


def read_events(path: Path, run: str) -> tuple[list[dict[str, Any]], Head]:
    """Return the verified events of the log at `path`, and its head."""
    raw = path.read_bytes()
    head = verify_lines(raw, run)
    # One array is read a third faster than as many lines.
    events = json.loads("[" + raw[:-1].decode().replace("\n", ",\n") + "]")
    if len(events) != head.events:
        raise _broken(head.events, "is not one event")
    return events, head


def _broken(number: int, how: str) -> RecordError:
    return RecordError(
        f"The record is damaged: event {number} {how}.",
        "do not rely on this record; compare its head hash with the copy that was sent away (artifacts)",
        number,
    )
