# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write and read the record of one run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from runbook_engine import chain, state
from runbook_engine.errors import RecordError
from runbook_engine.ids import timestamp
from runbook_engine.plain import plain
from runbook_engine.reduce import reduce


class RecordWriter:
    """Appends events to the log of one run; an event is on disk when `append` returns.

    One process writes a log; `on_event` is called with each event after it is stored.
    """

    def __init__(
        self, folder: state.RunFolder, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.folder = folder
        self.head = chain.genesis(folder.run)
        self._pending: tuple[int, int, chain.Head] | None = None
        self._on_event = on_event
        self._file = os.open(folder.events, os.O_WRONLY | os.O_APPEND)
        # Held as long as this process or a worker of it lives, however it ends: see `settled`.
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        state.sync_folder(folder.path)

    def append(self, kind: str, data: dict[str, Any]) -> None:
        """Store one event durably. A line is written whole or not at all: a part is cut off again."""
        self._settle()
        stored = plain(data)
        at = timestamp()
        line, head = chain.seal(self.head, at, kind, stored)
        before = os.fstat(self._file).st_size
        self._pending = (before, len(line), head)
        try:
            self._write(line)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            self._pending = None
            raise
        self._settle()
        if self._on_event is not None:
            self._on_event({"n": head.events, "at": at, "type": kind, "data": stored})

    def _settle(self) -> None:
        """Take over the head of the last event that is whole in the file, and cut off a part of one.

        A signal raises anywhere in an append, and blocking it helps only where there is no other thread: so
        what is in the file decides, not how far the code got.
        """
        if self._pending is None:
            return
        before, length, head = self._pending
        if os.fstat(self._file).st_size == before + length:
            self.head = head
        else:
            os.ftruncate(self._file, before)
        self._pending = None

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        """Append `run.finished`, write the result, and return it."""
        self.append("run.finished", data)
        events, head = chain.read_events(self.folder.events, self.folder.run)
        result = reduce(events, head)
        state.write_whole(self.folder.result, _pretty(result))
        return result

    def close(self) -> None:
        """Let go of the log."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, line: bytes) -> None:
        written = 0
        while written < len(line):
            written += os.write(self._file, line[written:])

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def settled(folder: state.RunFolder) -> dict[str, Any]:
    """Return the result of a run; one whose controller was killed gets its end and its result first.

    Nothing is repaired: a log that was cut in the middle of an event raises RecordError.
    """
    events, head = chain.read_events(folder.events, folder.run)
    if folder.result.exists() or not events:
        return reduce(events, head)
    try:
        writer = RecordWriter(folder)
    except OSError:
        # It still runs, or the record is not ours to write.
        return reduce(events, head)
    with writer:
        # Read again: the run may have ended between the first look and the lock.
        events, writer.head = chain.read_events(folder.events, folder.run)
        if events[-1]["type"] == "run.finished":
            return reduce(events, writer.head)
        return writer.finish({"ended": "killed", "hosts": {}, "last_seen": events[-1]["at"]})


def read(folder: state.RunFolder) -> dict[str, Any]:
    """Return the result of a run from its verified events, whether it has ended or not."""
    events, head = chain.read_events(folder.events, folder.run)
    return reduce(events, head)


def verify(folder: state.RunFolder) -> chain.Head:
    """Check a finished record whole and return its head; raise RecordError with the first bad event.

    Found: any edit, removal, swap or insertion of events, a log cut short (the result knows count and head
    hash), an edited or missing result, a run that has not ended.
    """
    events, head = chain.read_events(folder.events, folder.run)
    stored = _stored(folder)
    if stored is None:
        raise RecordError(
            "The record has no result: the run was killed or is still running.", "", head.events + 1
        )
    claimed = stored.get("record")
    if not isinstance(claimed, dict) or not isinstance(claimed.get("events"), int):
        raise RecordError("The result does not say how many events belong to it.", "", None)
    if claimed["events"] != head.events:
        first = min(claimed["events"], head.events) + 1
        raise RecordError(
            f"The result counts {claimed['events']} events, the log has {head.events}.", "", first
        )
    if not events or events[-1]["type"] != "run.finished":
        raise RecordError("The log does not end with the end of the run.", "", head.events + 1)
    if folder.result.read_bytes() != _pretty(reduce(events, head)):
        raise RecordError("The result is not what the events say.", "", head.events)
    return head


def _stored(folder: state.RunFolder) -> dict[str, Any] | None:
    try:
        return state.load_result(folder)
    except (ValueError, UnicodeDecodeError) as error:
        raise RecordError("The result is not readable JSON.", "", None) from error


def _pretty(result: dict[str, Any]) -> bytes:
    return (json.dumps(result, ensure_ascii=False, indent=2) + "\n").encode()


def tail(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the whole lines of a JSON lines file from `offset` on, and the offset behind them.

    For live views: not verified, a line that is being written is left for the next call.
    """
    with path.open("rb") as file:
        file.seek(offset)
        raw = file.read()
    end = raw.rfind(b"\n") + 1
    return [json.loads(line) for line in raw[:end].splitlines()], offset + end
