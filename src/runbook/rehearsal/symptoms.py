"""Faults of a whole stand-in: what breaks, as the people who are called see it, and how to take it back.

Each is small and reusable: `inject` breaks the stack, `heal` undoes exactly that where it can be undone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from runbook.rehearsal import seed, store
from runbook.rehearsal.processes import StandInError, alive, free_port, unprivileged_prefix, wait_until
from runbook.rehearsal.stack import Stack

_PAGE = 8192
_CALM = 4
# The first pages, so that the first read of a table meets one; the rest of the table stays readable.
_DAMAGED_PAGES = (0, 1, 7)
_DAMAGED_TABLES = ("public.subscribers", "public.subscriptions")


@dataclass(frozen=True)
class Symptom:
    """One fault: `expects` names the mitigation that is right for it ("" = none of the runbook's)."""

    name: str
    describe: str
    inject: Callable[[Stack], None]
    heal: Callable[[Stack], None] | None = None
    expects: str = ""
    # Rows or objects are lost or damaged; otherwise the data after the runbook must be the data before.
    damages: bool = False

    def run(self, what: str, stack: Stack) -> None:
        """Inject (`fault`) or take back (`heal`); raises StandInError where it cannot be taken back."""
        action = self.inject if what == "fault" else self.heal
        if action is None:
            raise StandInError(f"{self.name} cannot be taken back: that is what the runbook is for")
        action(stack)


def find(name: str) -> Symptom:
    """Return the fault named `name`; raises StandInError naming those that exist."""
    if name not in FAULTS:
        raise StandInError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
    return FAULTS[name]


def _postmaster(stack: Stack) -> int:
    return stack.server().pid


def _pg_ctl(stack: Stack, *arguments: str) -> None:
    server = stack.server()
    done = subprocess.run(
        [*unprivileged_prefix(), server.binaries.tool("pg_ctl"), "-D", str(server.data), "-w", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise StandInError(f"pg_ctl {arguments[0]} failed ({done.returncode}); its log is {server.log}")


def start_database(stack: Stack) -> None:
    """Start the PostgreSQL of the stack again."""
    server = stack.server()
    _pg_ctl(stack, "start", "-l", str(server.log))
    wait_until(server.answers, timeout=20, what="PostgreSQL after its start")


def corrupt_tables(stack: Stack) -> None:
    """Write rubbish over some pages of the tables that every service reads, as a bad disk would."""
    server = stack.server()
    server.execute("CHECKPOINT")
    files = [
        server.data
        / server.execute("SELECT pg_relation_filepath(%s)", (table,), database=seed.DATABASE)[0][0]
        for table in _DAMAGED_TABLES
    ]
    # Pages that the server holds in memory would hide the damage on disk.
    _pg_ctl(stack, "stop", "-m", "fast")
    for path in files:
        with path.open("r+b") as handle:
            for page in _DAMAGED_PAGES:
                handle.seek(page * _PAGE)
                handle.write(b"\xde\xad\xbe\xef" * (_PAGE // 4))
    start_database(stack)


def _drop_table(stack: Stack) -> None:
    stack.server().execute("DROP TABLE public.subscriptions CASCADE", database=seed.DATABASE)


def _signal(signum: signal.Signals) -> Callable[[Stack], None]:
    return lambda stack: os.kill(_postmaster(stack), signum)


def _kill(stack: Stack) -> None:
    pid = _postmaster(stack)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), timeout=5, what="the end of the postmaster")


def _holder(stack: Stack) -> Path:
    return stack.folder / "connections.pid"


def _exhaust(stack: Stack) -> None:
    facts = stack.facts
    program = "import sys, runbook.rehearsal.symptoms as s; s.hold_connections(sys.argv[1])"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(stack.path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    _holder(stack).write_text(str(holder.pid))
    assert holder.stdout is not None
    if holder.stdout.readline().strip() != b"held":
        raise StandInError(f"could not take the connections of {facts['postgres']['database']}")


def hold_connections(path: str) -> None:
    """Open sessions as the application does, until the server has none left; keep them while it lives."""
    facts = Stack(Path(path)).facts
    held: list[Any] = []
    login = {"host": "127.0.0.1", "port": facts["postgres"]["port"], "dbname": facts["postgres"]["database"]}
    with contextlib.suppress(psycopg2.OperationalError):
        while True:
            held.append(psycopg2.connect(**login, application_name="roost-relay", **facts["app"]))
    print("held", flush=True)  # noqa: T201 - read by the one that started this process
    with contextlib.suppress(psycopg2.Error):
        while held:
            time.sleep(1)
            held[0].cursor().execute("SELECT 1")


def _release_connections(stack: Stack) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(_holder(stack).read_text()), signal.SIGKILL)
    _holder(stack).unlink(missing_ok=True)


def _ballast(stack: Stack) -> Path:
    return Path(stack.facts["postgres"]["folder"]).parent / "ballast"


def _fill_disk(stack: Stack) -> None:
    if stack.facts["isolation"] != "namespace":
        raise StandInError("a disk is only filled inside a namespace, where it is the stand-in's own")
    stack.server().execute("CHECKPOINT")
    with _ballast(stack).open("wb") as handle:
        # Sessions that have just ended still give files back: full is what stays full.
        calm = 0
        while calm < _CALM:
            room = os.fstatvfs(handle.fileno())
            free = room.f_bavail * room.f_frsize
            if free:
                os.posix_fallocate(handle.fileno(), handle.seek(0, os.SEEK_END), free)
            calm = 0 if free else calm + 1
            time.sleep(0.05)


def _nights_gone(stack: Stack) -> None:
    facts = stack.facts
    good = datetime.fromisoformat(facts["backups"]["good_time"])
    gone = [store.key_of(good - timedelta(days=ago)) for ago in range(3)] + list(facts["backups"]["decoys"])
    _delete(stack, [*gone, facts["backups"]["good"] + ".sha256"])


def _empty_bucket(stack: Stack) -> None:
    listed = stack.store().client().list_objects_v2(Bucket=store.BUCKET)
    _delete(stack, [item["Key"] for item in listed.get("Contents", [])])


def _delete(stack: Stack, keys: list[str]) -> None:
    wanted = {"Objects": [{"Key": key} for key in keys]}
    stack.store().client().delete_objects(Bucket=store.BUCKET, Delete=wanted)


def _rules(**changes: Any) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        facts = stack.facts["s3"]
        rules = {"access_keys": [facts["access_key"]], **changes}
        store.write_rules(Path(facts["rules"]), rules)

    return change


def _stale_secret(stack: Stack) -> None:
    """Let the store forget the inventory's key, as after a rotation that nobody told us of."""
    facts = stack.facts
    store.write_rules(Path(facts["s3"]["rules"]), {"access_keys": [f"CANARYROTATED{free_port()}"]})


FAULTS: dict[str, Symptom] = {
    fault.name: fault
    for fault in (
        Symptom(
            "corrupt-tables",
            "pages of subscribers and subscriptions are rubbish: every service gets errors",
            corrupt_tables,
            expects="restore",
            damages=True,
        ),
        Symptom(
            "dropped-table",
            "the table subscriptions was dropped",
            _drop_table,
            expects="restore",
            damages=True,
        ),
        Symptom(
            "postmaster-stopped",
            "the server is frozen: TCP connects, queries hang",
            _signal(signal.SIGSTOP),
            _signal(signal.SIGCONT),
            expects="restart",
        ),
        Symptom("postmaster-killed", "the server is gone", _kill, start_database, expects="restart"),
        Symptom(
            "connections-exhausted",
            "the application holds every connection",
            _exhaust,
            _release_connections,
            expects="terminate-sessions",
        ),
        Symptom(
            "disk-full",
            "no byte is free on the disk that holds the data",
            _fill_disk,
            lambda stack: _ballast(stack).unlink(missing_ok=True),
            expects="free-disk",
        ),
        Symptom("stale-backup", "no backup was made for three nights", _nights_gone),
        Symptom("empty-bucket", "the bucket of backups is empty", _empty_bucket),
        Symptom("s3-denied", "the store refuses every request", _rules(denied=True), _rules()),
        Symptom("wrong-credentials", "the store no longer knows our key", _stale_secret, _rules()),
    )
}
