"""A disk that the container engine filled itself: releases that nothing runs, a log without an end."""

from __future__ import annotations

import secrets
from pathlib import Path

from runbook.rehearsal import engine
from runbook.rehearsal.parts.roost_containers import DATABASE_IMAGE, IMAGE
from runbook.rehearsal.processes import wait_until
from runbook.rehearsal.stack import Stack

CHATTY = "chatty"
"""The container whose log fills the disk; nothing of the system needs it."""
FALLEN = "fallen"
"""A container that has ended; its log, and the old release that it was made of, have to stay."""
_GOES, _FALLEN_OF, *_ROLLBACK = ("2026.10.1", "2026.10.2", "2026.10.3", "2026.10.4")
_IMAGE_BYTES = 16 << 20
_LAST_WORDS = "ERROR no space left, giving up"
_LINE = b'{"log":"WARN cache miss, fetched again\\n","stream":"stderr","time":"2026-11-21T02:00:00Z"}\n'


def prepare(stack: Stack) -> None:
    """Load releases that nothing runs, let one container fall, and start one that writes too much."""
    for release in (_GOES, _FALLEN_OF, *_ROLLBACK):
        image = engine.Image()
        image.add_text("release", secrets.token_hex(_IMAGE_BYTES // 2))
        image.load(f"{IMAGE}:{release}", stack.folder, env=["PATH=/bin"])
    last_words = ["sh", "-c", f"echo '{_LAST_WORDS}' >&2; exit 1"]
    engine.docker("run", "--detach", "--name", FALLEN, f"{IMAGE}:{_FALLEN_OF}", *last_words)
    wait_until(lambda: not engine.inspect(FALLEN)["State"]["Running"], timeout=10, what="its end")
    engine.docker("run", "--detach", "--name", CHATTY, DATABASE_IMAGE, "sleep", "86400")


def log_of(container: str) -> Path:
    """Return the file that the engine keeps a container's log in."""
    return Path(engine.inspect(container)["LogPath"])


def fill_log(size: int) -> None:
    """Write about `size` bytes more into the log of the chatty container."""
    block = _LINE * (1 + (1 << 20) // len(_LINE))
    with log_of(CHATTY).open("ab") as log:
        for _number in range(size // len(block)):
            log.write(block)


def not_kept() -> list[str]:
    """Return what is gone although a rollback, or whoever asks why, needs it; and what should be gone."""
    there = set(engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split())
    wanted = {DATABASE_IMAGE, *(f"{IMAGE}:{release}" for release in (_FALLEN_OF, *_ROLLBACK))}
    found = [f"the image {name} is gone" for name in sorted(wanted - there)]
    if f"{IMAGE}:{_GOES}" in there:
        found.append(f"the image {IMAGE}:{_GOES} is still there")
    if _LAST_WORDS not in engine.logs(FALLEN):
        found.append("the log of the container that has ended was emptied")
    if log_of(CHATTY).stat().st_size >= _IMAGE_BYTES:
        found.append("the log that filled the disk was not emptied")
    return found
