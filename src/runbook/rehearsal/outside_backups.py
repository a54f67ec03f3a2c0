"""What is in the bucket of a stand-in's backups, judged without the modules that a runbook judges by."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook.rehearsal import store
from runbook.rehearsal.stack import Stack

MAX_AGE = timedelta(hours=26)
_END = b"PostgreSQL database dump complete"


@contextlib.contextmanager
def behind_its_rules(stack: Stack) -> Iterator[None]:
    """Look into the store as its owner does, also while it refuses everybody."""
    path = Path(stack.facts["s3"]["rules"])
    kept = json.loads(path.read_text())
    store.write_rules(path, {"access_keys": [stack.facts["s3"]["access_key"]]})
    try:
        yield
    finally:
        store.write_rules(path, kept)


def keys(stack: Stack) -> list[str]:
    """Return the key of every object in the bucket."""
    listed = stack.store().client().list_objects_v2(Bucket=stack.shape.bucket)
    return sorted(item["Key"] for item in listed.get("Contents", []))


def content(stack: Stack, key: str) -> bytes:
    """Return the whole of one object."""
    got: Any = stack.store().client().get_object(Bucket=stack.shape.bucket, Key=key)
    read: bytes = got["Body"].read()
    return read


def newest_whole(stack: Stack) -> tuple[datetime, str] | None:
    """Return time and key of the newest backup of this system that is whole; None when there is none."""
    pattern = re.compile(rf".*/{stack.database}-(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\dZ)\.(sql\.gz|dump)")
    named = [(found.group(1), found.group(0)) for found in map(pattern.fullmatch, keys(stack)) if found]
    for moment, key in sorted(named, reverse=True):
        if _whole(stack, key):
            return datetime.strptime(moment, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC), key
    return None


def problem(stack: Stack) -> str:
    """Return what is wrong for somebody who had to restore now, "" for nothing."""
    found = newest_whole(stack)
    if found is None:
        return "no backup in the bucket is whole"
    age = datetime.now(UTC) - found[0]
    return f"the newest whole backup is {age / timedelta(hours=1):.0f} h old" if age > MAX_AGE else ""


def _whole(stack: Stack, key: str) -> bool:
    held = content(stack, key)
    if key.endswith(".dump"):
        sums = content(stack, key + ".sha256") if key + ".sha256" in keys(stack) else b""
        return sums.startswith(hashlib.sha256(held).hexdigest().encode()) and _readable(stack, held)
    try:
        return _END in gzip.decompress(held)[-200:]
    except (EOFError, OSError):
        return False


def _readable(stack: Stack, archive: bytes) -> bool:
    """Whether the server's own pg_restore reads the archive to its end."""
    program = stack.server().binaries.tool("pg_restore")
    done = subprocess.run([program, "--file=/dev/null"], input=archive, capture_output=True, check=False)
    return done.returncode == 0
