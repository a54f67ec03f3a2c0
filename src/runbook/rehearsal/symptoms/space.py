"""Disks that are filled by deleted files, backups, slots, or by what nobody may touch."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import psycopg2.extras

from runbook.rehearsal.parts import services
from runbook.rehearsal.processes import StandInError, alive, start_lasting, wait_until
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import disk

SLOT = "of_an_old_replica"
"""A slot whose consumer is gone."""
LIMIT_PERCENT = 85.0
_FULL = 0.88
# Local copies of backups: so many, of this size each; the newest has to stay.
_BACKUPS, _BACKUP_BYTES = 3, 36 << 20
_SEGMENTS = 13
_SEGMENT_BYTES = 16 << 20


def used_percent(stack: Stack) -> float:
    """Return how full the disk of the stand-in is."""
    found = os.statvfs(stack.folder / "disk")
    return 100.0 * (found.f_blocks - found.f_bfree) / found.f_blocks


def _own_disk(stack: Stack) -> Path:
    if stack.facts["isolation"] != "namespace":
        raise StandInError("a disk is only filled inside a namespace, where it is the stand-in's own")
    return stack.folder / "disk"


def _room_to(stack: Stack, share: float, *, without: int = 0) -> int:
    """Return the bytes that are missing until `share` of the disk is used; `without`: what still comes."""
    found = os.statvfs(_own_disk(stack))
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    return int(found.f_blocks * found.f_frsize * share) - used - without


def _fill(path: Path, count: int) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, count)


def nearly_fill(stack: Stack) -> None:
    """Fill the disk beyond the limit of the alert, by what may go; there is room for writes."""
    _fill(_own_disk(stack) / "ballast", _room_to(stack, _FULL))


def fill_by_uploads(stack: Stack) -> None:
    """Fill the disk by what customers have sent: nothing of it may go."""
    _fill(_own_disk(stack) / "uploads" / "photos", _room_to(stack, _FULL))


def remove_uploads(stack: Stack) -> None:
    """Take them away again."""
    (stack.folder / "disk" / "uploads" / "photos").unlink(missing_ok=True)


def fill_and_fall(stack: Stack) -> None:
    """Leave no byte free, and end the database as it ends itself when it cannot write WAL."""
    disk.fill(stack)
    pid = stack.server().pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), timeout=5, what="the end of the postmaster")


def hold_deleted(stack: Stack) -> None:
    """Have the API write a file that is deleted under it, as a log that somebody removed by hand."""
    path = _own_disk(stack) / "api-debug.log"
    services.tell(stack.facts, "api", {"holds": {"path": str(path), "bytes": _room_to(stack, _FULL)}})
    wait_until(lambda: used_percent(stack) > LIMIT_PERCENT, timeout=10, what="a disk that is nearly full")


def make_slot(stack: Stack) -> None:
    """Fill the disk by WAL that is kept for a replica which is gone."""
    wal = _SEGMENTS * _SEGMENT_BYTES
    _fill(_own_disk(stack) / "uploads" / "photos", _room_to(stack, _FULL, without=wal))
    server = stack.server()
    server.execute("SELECT pg_create_physical_replication_slot(%s, true)", (SLOT,))
    while used_percent(stack) < LIMIT_PERCENT + 1:
        server.execute("SELECT pg_logical_emit_message(false, 'stand-in', 'a day of work')")
        server.execute("SELECT pg_switch_wal()")
        # Else the server would get used to writing that much, and keep as many files for it.
        server.execute("CHECKPOINT")


def _consumer(stack: Stack) -> Path:
    return stack.folder / "consumer.pid"


def use_slot(stack: Stack) -> None:
    """Have the replica come back to its slot."""
    command = [sys.executable, "-m", __name__, str(stack.path)]
    _consumer(stack).write_text(str(start_lasting(command, stack.folder / "consumer.log", says="reads")))


def leave_slot(stack: Stack) -> None:
    """End that replica for good."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = int(_consumer(stack).read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), timeout=5, what="the end of the replica")
    active = "SELECT count(*) FROM pg_replication_slots WHERE active"
    wait_until(lambda: stack.server().execute(active)[0][0] == 0, timeout=5, what="a slot without a reader")


def _read_slot(stack: Stack) -> None:
    facts = stack.facts["postgres"]
    begin = stack.server().execute("SELECT restart_lsn::text FROM pg_replication_slots")[0][0]
    connection = psycopg2.connect(
        host="127.0.0.1", port=facts["port"], user=facts["user"], password=facts["password"],
        connection_factory=psycopg2.extras.PhysicalReplicationConnection,
    )  # fmt: skip
    with closing(connection):
        physical = psycopg2.extras.REPLICATION_PHYSICAL
        connection.cursor().start_replication(slot_name=SLOT, slot_type=physical, start_lsn=begin)
        sys.stdout.buffer.write(b"reads\n")
        sys.stdout.buffer.flush()
        # Nothing is taken from it, so the server waits; it ends with the stand-in.
        while stack.path.exists():
            time.sleep(0.2)


def local_backups(stack: Stack) -> list[Path]:
    """Return the local copies of backups, the oldest first."""
    return sorted((stack.folder / "disk" / "local-backups").glob("*"))


def keep_backups(stack: Stack) -> None:
    """Fill the disk by local copies of backups that are in the store, too."""
    _fill(_own_disk(stack) / "uploads" / "photos", _room_to(stack, _FULL, without=_BACKUPS * _BACKUP_BYTES))
    (stack.folder / "disk" / "local-backups").mkdir()
    now = datetime.now(UTC).replace(microsecond=0)
    for hours in range(_BACKUPS, 0, -1):
        moment = now - timedelta(hours=hours)
        key = stack.shape.key_of(moment).removesuffix(".gz")
        content = _large_dump(stack)
        stack.store().client().put_object(Bucket=stack.shape.bucket, Key=key, Body=content)
        path = stack.folder / "disk" / "local-backups" / Path(key).name
        path.write_bytes(content)
        os.utime(path, (moment.timestamp(), moment.timestamp()))


def _large_dump(stack: Stack) -> bytes:
    """Return a good dump, made longer by comments of its own."""
    client, good = stack.store().client(), stack.facts["backups"]["good"]
    text = gzip.decompress(client.get_object(Bucket=stack.shape.bucket, Key=good)["Body"].read())
    head, line_end, rest = text.partition(b"\nSET ")
    more = (b"-- " + secrets.token_hex(48).encode() + b"\n") * ((_BACKUP_BYTES - len(text)) // 100)
    return head + b"\n" + more + line_end + rest


def damage_copy(stack: Stack) -> None:
    """Have the store hold something else under the name of the oldest local backup, of the same size."""
    _store_copy(stack, lambda content: content[:-4096] + secrets.token_bytes(4096))


def mend_copy(stack: Stack) -> None:
    """Have the store hold the same again."""
    _store_copy(stack, lambda content: content)


def _store_copy(stack: Stack, changed: Callable[[bytes], bytes]) -> None:
    oldest = local_backups(stack)[0]
    key = stack.facts["s3"]["prefix"] + oldest.name
    body = changed(oldest.read_bytes())
    stack.store().client().put_object(Bucket=stack.shape.bucket, Key=key, Body=body)


if __name__ == "__main__":
    _read_slot(Stack(Path(sys.argv[1])))
