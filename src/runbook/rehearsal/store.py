"""The stand-in's backup store and what lies in it: nightly dumps, and beside them what looks like one."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook.rehearsal.s3_server import S3Server
from runbook.rehearsal.seed import Seed
from runbook.rehearsal.shapes import BACKUP_PREFIX, Shape

NIGHTS = 7
# A dump that began at 03:00 is in the bucket a little later.
_UPLOAD_TIME = timedelta(seconds=95)
_YOUNGEST = timedelta(minutes=15)


@dataclass
class Store(S3Server):
    """moto behind rules of our own: it knows one access key, and can be told to refuse everything.

    With a `seed` it holds, from its start, what `objects` says of it at the time `now`.
    """

    rules: dict[str, Any] = field(default_factory=dict)
    seed: Seed | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def rules_path(self) -> Path:
        """File that the running server reads its rules from."""
        return self.folder / "rules.json"

    def _command(self) -> list[str]:
        write_rules(self.rules_path, {"access_keys": [self.access_key], **self.rules})
        holds = [str(self.seed.folder), self.now.isoformat()] if self.seed else []
        program = [sys.executable, "-m", "runbook.rehearsal.store_server"]
        return [*program, str(self.port), str(self.rules_path), *holds]


def write_rules(path: Path, rules: dict[str, Any]) -> None:
    """Replace the rules of a running store at once."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(rules))
    fresh.rename(path)


@dataclass(frozen=True)
class BackupObject:
    """One object to be put into the bucket; `why` says what it is a case of (`nightly` for a good backup)."""

    key: str
    content: bytes
    modified: datetime
    why: str


def last_night(now: datetime) -> datetime:
    """Return the time of the last nightly backup (03:00 UTC) that can be finished by `now`."""
    tonight = now.astimezone(UTC).replace(hour=3, minute=0, second=0, microsecond=0)
    return tonight if now - tonight >= _YOUNGEST else tonight - timedelta(days=1)


def objects(seed: Seed, now: datetime) -> list[BackupObject]:
    """Return everything the bucket holds: the nights, oldest first, then the decoys."""
    newest = last_night(now)
    dumps = [path.read_bytes() for path in seed.dumps]
    nights = []
    for ago in range(NIGHTS - 1, -1, -1):
        moment = newest - timedelta(days=ago)
        content = dumps[{0: 2, 1: 1}.get(ago, 0)]
        nights.append(BackupObject(seed.shape.key_of(moment), content, moment + _UPLOAD_TIME, "nightly"))
    return nights + _decoys(seed, nights[-1], dumps[0], newest, now)


def _decoys(
    seed: Seed, good: BackupObject, old: bytes, newest: datetime, now: datetime
) -> list[BackupObject]:
    # All newer than the good one, so that whoever takes what sorts last takes one of them.
    key_of = seed.shape.key_of
    later = [newest + (now - newest) * share for share in (0.2, 0.4, 0.6, 0.8)]
    checksum = f"{hashlib.sha256(good.content).hexdigest()}  {Path(good.key).name}\n".encode()
    return [
        BackupObject(key_of(later[0]), gzip.compress(b"", mtime=0), later[0], "empty dump"),
        BackupObject(key_of(later[1]), good.content[: len(good.content) // 3], later[1], "truncated dump"),
        BackupObject(key_of(newest - timedelta(days=63)), old, later[2], "old dump uploaded again today"),
        BackupObject(
            key_of(later[3], "perch_prod"), seed.foreign_dump.read_bytes(), later[3], "other system"
        ),
        BackupObject(good.key + ".sha256", checksum, good.modified, "checksum"),
        BackupObject(BACKUP_PREFIX + "LATEST", Path(good.key).name.encode() + b"\n", later[3], "marker file"),
    ]


def unfinished(shape: Shape, now: datetime) -> str:
    """Return the key of the backup whose upload has begun and is not finished."""
    return shape.key_of(now - timedelta(minutes=5))
