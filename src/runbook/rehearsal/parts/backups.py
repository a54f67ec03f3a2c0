"""The store of backups, with a week of nights and the decoys in it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from runbook.rehearsal import store
from runbook.rehearsal.parts import production_port
from runbook.rehearsal.seed import Seed
from runbook.rehearsal.shapes import BACKUP_PREFIX


class Backups:
    """An S3 API in `folder`/s3 with the seed's dumps as the backups of the nights before `now`."""

    def __init__(self, folder: Path, made: Seed, now: datetime) -> None:
        self._store = store.Store(folder / "s3", production_port(9000), seed=made, now=now)
        self._seed, self._now = made, now

    def launch(self) -> None:
        """Start it; it fills itself."""
        self._store.launch()
        (self._store.folder / "pid").write_text(str(self._store.process_id))

    def wait_ready(self) -> None:
        """Wait until it holds everything and listens."""
        self._store.wait_ready()

    def stop(self) -> None:
        """End it."""
        self._store.stop()

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says about it."""
        newest = store.last_night(self._now)
        held = store.objects(self._seed, self._now)
        about = {
            "endpoint_url": self._store.endpoint,
            "port": self._store.port,
            "access_key": self._store.access_key,
            "secret_key": self._store.secret_key,
            "bucket": self._seed.shape.bucket,
            "prefix": BACKUP_PREFIX,
            "rules": str(self._store.rules_path),
        }
        backups = {
            "good": self._seed.shape.key_of(newest),
            "good_time": newest.isoformat(),
            "decoys": {item.key: item.why for item in held if item.why not in ("nightly", "checksum")},
        }
        return {"s3": about, "backups": backups}
