"""A disk without a free byte."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import container_disk

_CALM = 4
# So much of what was free; the rest is as before: what an earlier restore by hand left behind.
_LOGS = 0.85


def _ballast(stack: Stack) -> Path:
    return Path(stack.facts["postgres"]["folder"]).parent / "ballast"


def _needed(stack: Stack) -> Path:
    return _ballast(stack).with_name("needed")


def fill(stack: Stack) -> None:
    """Leave no byte free on the disk that holds the data; raises StandInError where that is not ours."""
    _fill(stack, _ballast(stack))


def fill_for_good(stack: Stack) -> None:
    """The same with what nobody has declared to be disposable."""
    _fill(stack, _needed(stack))


def _fill(stack: Stack, ballast: Path) -> None:
    if stack.facts["isolation"] != "namespace":
        raise StandInError("a disk is only filled inside a namespace, where it is the stand-in's own")
    stack.server().execute("CHECKPOINT")
    if stack.facts["tier"] == "docker":
        container_disk.prepare(stack)
        room = os.statvfs(stack.folder / "disk")
        container_disk.fill_log(int(room.f_bavail * room.f_frsize * _LOGS))
    with ballast.open("wb") as handle:
        # Sessions that have just ended still give files back: full is what stays full.
        calm = 0
        while calm < _CALM:
            room = os.fstatvfs(handle.fileno())
            free = room.f_bavail * room.f_frsize
            if free:
                os.posix_fallocate(handle.fileno(), handle.seek(0, os.SEEK_END), free)
            calm = 0 if free else calm + 1
            time.sleep(0.05)


def not_kept(stack: Stack) -> list[str]:
    """Return what is wrong with what was freed: gone although it is needed, or there although it is not."""
    return container_disk.not_kept() if stack.facts["tier"] == "docker" else []


def free(stack: Stack) -> None:
    """Take the ballast away again."""
    _ballast(stack).unlink(missing_ok=True)
