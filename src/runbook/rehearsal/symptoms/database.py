"""PostgreSQL that is damaged, gone, frozen or full of clients."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2

from runbook.rehearsal import engine
from runbook.rehearsal.processes import StandInError, alive, start_lasting, unprivileged_prefix, wait_until
from runbook.rehearsal.stack import Stack

_PAGE = 8192
# The first pages, so that the first read of a table meets one; the rest of the table stays readable.
_DAMAGED_PAGES = (0, 1, 7)


def _container(stack: Stack) -> str:
    return str(stack.facts["postgres"].get("container", ""))


def _postmaster(stack: Stack) -> int:
    # What the server itself notes is its number inside the container.
    return engine.pid_of(_container(stack)) if _container(stack) else stack.server().pid


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
    if _container(stack):
        engine.docker("start", _container(stack))
    else:
        _pg_ctl(stack, "start", "-l", str(server.log))
    wait_until(server.answers, timeout=20, what="PostgreSQL after its start")


def _stop_database(stack: Stack) -> None:
    if _container(stack):
        engine.docker("stop", _container(stack))
    else:
        _pg_ctl(stack, "stop", "-m", "fast")


def corrupt_tables(stack: Stack) -> None:
    """Write rubbish over some pages of the tables that every service reads, as a bad disk would."""
    server = stack.server()
    server.execute("CHECKPOINT")
    files = [
        server.data
        / server.execute("SELECT pg_relation_filepath(%s)", (table,), database=stack.database)[0][0]
        for table in stack.shape.damaged
    ]
    # Pages that the server holds in memory would hide the damage on disk.
    _stop_database(stack)
    for path in files:
        with path.open("r+b") as handle:
            for page in _DAMAGED_PAGES:
                handle.seek(page * _PAGE)
                handle.write(b"\xde\xad\xbe\xef" * (_PAGE // 4))
    start_database(stack)


def drop_table(stack: Stack) -> None:
    """Drop a table that every service needs."""
    stack.server().execute(f"DROP TABLE {stack.shape.dropped} CASCADE", database=stack.database)


def send(signum: signal.Signals) -> Callable[[Stack], None]:
    """Return what sends a signal to the postmaster: SIGSTOP freezes it, SIGCONT continues it."""
    return lambda stack: os.kill(_postmaster(stack), signum)


def kill(stack: Stack) -> None:
    """End the server as a crash does."""
    # Else its sequences would come back a little further on, as they may after any crash.
    stack.server().execute("CHECKPOINT")
    pid = _postmaster(stack)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), timeout=5, what="the end of the postmaster")


def _holder(stack: Stack) -> Path:
    return stack.folder / "connections.pid"


def exhaust_connections(stack: Stack) -> None:
    """Let the application hold every connection."""
    program = "import sys, runbook.rehearsal.symptoms.database as s; s.hold_connections(sys.argv[1])"
    command = [sys.executable, "-c", program, str(stack.path)]
    pid = start_lasting(command, stack.folder / "connections.log", says="held")
    _holder(stack).write_text(str(pid))


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


def release_connections(stack: Stack) -> None:
    """Give the held connections back."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(_holder(stack).read_text()), signal.SIGKILL)
    _holder(stack).unlink(missing_ok=True)
