# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state folder: where runs are, who may read them, and how a file gets there whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_engine.errors import StateError, UsageError, nearest
from runbook_engine.ids import is_run_id, new_run_id

EVENTS, RESULT, PROGRESS, EVIDENCE = "events.jsonl", "result.json", "progress.jsonl", "evidence"
STOP = "stop"
_ROOM = 1 << 20  # bytes: several times what the record of a long run takes, its result included


def state_dir(
    explicit: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
) -> Path:
    """Return the state folder: `explicit`, RUNBOOK_STATE, $XDG_STATE_HOME/runbook, ~/.local/state/runbook."""
    if explicit:
        return Path(explicit).expanduser().absolute()
    if environ.get("RUNBOOK_STATE"):
        return Path(environ["RUNBOOK_STATE"]).expanduser().absolute()
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]).absolute() / "runbook"
    return Path.home() / ".local" / "state" / "runbook"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. It may or may not exist yet."""

    run: str
    path: Path

    @property
    def events(self) -> Path:
        """The event log: append-only, chained."""
        return self.path / EVENTS

    @property
    def result(self) -> Path:
        """The result, written once at the end."""
        return self.path / RESULT

    @property
    def progress(self) -> Path:
        """Progress of long steps, one JSON object a line; not part of the chain."""
        return self.path / PROGRESS

    @property
    def stop(self) -> Path:
        """A file that asks the run to stop before its next step; whoever may write to the folder may ask."""
        return self.path / STOP

    @property
    def evidence(self) -> Path:
        """Files captured before what they show could be lost."""
        return self.path / EVIDENCE


def run_folder(state: Path, run: str) -> RunFolder:
    """Return the folder of `run` under `state`; refuse what is no run id (it becomes a path)."""
    if not is_run_id(run):
        raise UsageError(
            f"{run!r} is not a run id such as 20261121t064300z-7f3a9c.", "list the runs: runbook runs"
        )
    return RunFolder(run, state / "runs" / run)


def prepare(state: Path) -> None:
    """Make the folder (0700) of all runs, and see that a whole record fits into it.

    Raises StateError when it does not: a run must not end in its middle for want of room.
    """
    runs = state / "runs"
    try:
        _make_private(state)
        _make_private(runs)
        with tempfile.TemporaryFile(dir=runs) as probe:
            probe.write(bytes(_ROOM))
    except OSError as error:
        raise unusable(state, error) from error


def create_run(state: Path, run: str | None = None) -> RunFolder:
    """Make the folder (0700) of a new run with an empty log and progress file; without `run` draw an id.

    Raises StateError when the folder cannot be written, has no room, or `run` has a log already.
    """
    prepare(state)
    try:
        folder = run_folder(state, run) if run else _fresh(state)
        _make_private(folder.path)
        _make_private(folder.evidence)
        for file in (folder.events, folder.progress):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise StateError(
            f"Run {run} exists already in {state}.", "start again: each run has its own id"
        ) from error
    except OSError as error:
        raise unusable(state, error) from error
    return folder


def existing_run(state: Path, run: str) -> RunFolder:
    """Return the folder of a run that exists, else raise UsageError with the nearest ids."""
    folder = run_folder(state, run)
    if not folder.events.is_file():
        known = [f.run for f in list_runs(state)][:10]
        raise UsageError(
            f"There is no run {run} in {state}. {nearest(run, known)}", "list the runs: runbook runs"
        )
    return folder


def list_runs(state: Path) -> list[RunFolder]:
    """Return every run under `state`, the newest first."""
    return list(_runs(state))


def load_result(folder: RunFolder) -> dict[str, Any] | None:
    """Return the stored result of a run, None while there is none."""
    try:
        loaded: dict[str, Any] = json.loads(folder.result.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return loaded


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path` (0600); after a crash the file is the old one or the new one, never half."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unusable(state: Path, error: OSError) -> StateError:
    """Return the error of a state folder that cannot be written."""
    return StateError(
        f"The run cannot be recorded in {state}: {error.strerror or error}.",
        "make room or permission there, or choose another folder with --state or RUNBOOK_STATE; "
        "nothing was changed",
    )


def _runs(state: Path) -> Iterator[RunFolder]:
    try:
        names = sorted((entry.name for entry in (state / "runs").iterdir()), reverse=True)
    except FileNotFoundError:
        return
    for name in names:
        if is_run_id(name) and (state / "runs" / name / EVENTS).is_file():
            yield RunFolder(name, state / "runs" / name)


def _fresh(state: Path) -> RunFolder:
    """A folder that did not exist: mkdir decides between two runs that drew the same id."""
    while True:
        folder = run_folder(state, new_run_id())
        with contextlib.suppress(FileExistsError):
            folder.path.mkdir(mode=0o700)
            return folder


def _make_private(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        # Not a run that exists already, but something in the way of the folder.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
