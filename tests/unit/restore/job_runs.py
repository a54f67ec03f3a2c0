"""Jobs that are started as the module starts them, driven by a shell of this machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils.restore import control, job
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile
from ansible_collections.oncall.runbooks.plugins.plugin_utils.restore_driver import Driver
from hand_made import HandSource, chunks, head, small_dump

from runbook.rehearsal.postgres_server import PostgresServer


def shell(command: str, in_data: bytes | None = None, executable: str = "/bin/sh") -> dict[str, Any]:
    done = subprocess.run([executable, "-c", command], input=in_data, capture_output=True, check=False)
    return {"rc": done.returncode, "stdout": done.stdout.decode()}


def start(options: RestoreOptions, make: Callable[[], Iterator[ev.Event]] = small_dump) -> dict[str, Any]:
    class WithUrl(HandSource):
        def __init__(self, urls: control.UrlBook) -> None:
            super().__init__(make)
            self._urls = urls

        def header(self) -> ev.DumpHeader:
            assert self._urls.get("daily/x.sql.gz").endswith("Signature=canary-signature")
            return super().header()

    return job.detach(options, job.restoring(options, lambda urls, progress: WithUrl(urls)))


def drive(started: dict[str, Any], progress: Path | None = None, **more: Any) -> dict[str, Any]:
    url = "http://127.0.0.1:1/b/daily/x.sql.gz?X-Amz-Signature=canary-signature"
    return Driver(
        shell,
        started,
        lambda wants, state: {"daily/x.sql.gz": url},
        renew_every=60,
        progress=ProgressFile(str(progress or ""), "run-1", "db1"),
    ).follow(**more)


def live_rows(server: PostgresServer, database: str, table: str = "precious") -> int:
    return int(server.execute(f"SELECT count(*) FROM {table}", database=database)[0][0])


def ours(server: PostgresServer, database: str) -> list[str]:
    return [
        name
        for (name,) in server.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s AND datname <> %s",
            (database + "%", database),
        )
    ]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def slow() -> Iterator[ev.Event]:
    """A load that would take a minute."""
    yield from head()
    yield ev.CopyStart("public.t", "", "COPY public.t FROM stdin;")
    for chunk in chunks(60 * 500):
        yield ev.CopyData(chunk, chunk.count(b"\n"))
        time.sleep(1)


def stuck_in_a_statement() -> Iterator[ev.Event]:
    """A statement that takes a minute: the main thread sits in libpq, where no signal handler runs."""
    yield from head()
    yield ev.Sql(ev.PRE_DATA, "SELECT pg_sleep(60);", "OTHER")
    yield from small_dump()


def stuck_in_an_index() -> Iterator[ev.Event]:
    yield from list(small_dump())[:-1]
    yield ev.Sql(ev.POST_DATA, "SELECT pg_sleep(60);", "OTHER")
    yield from list(small_dump())[-1:]
