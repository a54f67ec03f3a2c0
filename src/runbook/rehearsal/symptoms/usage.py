"""Queries, processes and services that use too much."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psycopg2

from runbook.rehearsal.parts import services
from runbook.rehearsal.processes import StandInError, alive, start_lasting, wait_until
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms.services import change_settings

REPORT = "cleaning-report"
"""The application whose query does not end."""
JOB = "nightly-export"
"""The program that runs away; it belongs to no service."""
LIMIT_PERCENT = 85.0
_LONG_S = 3.0
# A join without its condition; it sleeps for most of the time, because others use this machine, too.
_QUERY = "SELECT count(pg_sleep(0.01)) FROM public.bookings a CROSS JOIN public.bookings b"
# It ends with the stand-in.
_SCRIPT = """#!/bin/sh
while [ -e '{path}' ]; do
  i=0
  while [ $i -lt 20000 ]; do i=$((i + 1)); done
  sleep 0.01
done
"""


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))


def api_percent(stack: Stack) -> float:
    """Return how much of its limit the API uses, in percent."""
    limit = int(services.environment_of(stack.facts, "api")["API_MEMORY_LIMIT"])
    return 100.0 * _memory(services.pid_of(stack.facts, "api")) / limit


def leak(stack: Stack) -> None:
    """Have the API keep so much memory that it is at its limit."""
    limit = int(services.environment_of(stack.facts, "api")["API_MEMORY_LIMIT"])
    services.tell(stack.facts, "api", {"leaks": int(limit * 0.9)})
    wait_until(lambda: api_percent(stack) > LIMIT_PERCENT, timeout=10, what="an API that leaks")


def make_limit_small(stack: Stack) -> None:
    """Give the API a limit that is hardly more than what it uses."""
    needs = _memory(services.pid_of(stack.facts, "api"))
    change_settings("api", API_MEMORY_LIMIT=str(int(needs * 1.05)))(stack)
    wait_until(lambda: api_percent(stack) > LIMIT_PERCENT, timeout=10, what="an API at its limit")


def wanted_limit(stack: Stack) -> int:
    """Return a limit with which the API is well."""
    return 4 * _memory(services.pid_of(stack.facts, "api"))


def ask_for_long(stack: Stack) -> None:
    """Have an application ask something that does not end."""
    _start(stack, "once")


def ask_again_and_again(stack: Stack) -> None:
    """Have an application ask it again whenever it is cancelled."""
    _start(stack, "again")


def _start(stack: Stack, how: str) -> None:
    pid = start_lasting([sys.executable, "-m", __name__, str(stack.path), how], stack.folder / "query.log")
    _pid_file(stack, "query").write_text(str(pid))
    wait_until(lambda: longest_query(stack) > _LONG_S, timeout=20, what="a query that runs for long")


def longest_query(stack: Stack) -> float:
    """Return for how many seconds the longest query of that application runs."""
    asked = """SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float
    FROM pg_stat_activity WHERE application_name = %s AND state = 'active'"""
    return float(stack.server().execute(asked, (REPORT,))[0][0])


def stop_asking(stack: Stack) -> None:
    """End that application."""
    _end(stack, "query")


def _pid_file(stack: Stack, what: str) -> Path:
    return stack.folder / f"usage-{what}.pid"


def _end(stack: Stack, what: str) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = int(_pid_file(stack, what).read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), timeout=5, what=f"the end of the {what}")
    _pid_file(stack, what).unlink(missing_ok=True)


def run_away(stack: Stack) -> None:
    """Start a job that never ends and does nothing but count."""
    script = stack.folder / JOB
    script.write_text(_SCRIPT.format(path=stack.path))
    script.chmod(0o700)
    _pid_file(stack, "job").write_text(str(start_lasting([str(script)], stack.folder / "job.log")))
    # Only what has run for a while is called a runaway.
    time.sleep(2.5)


def end_job(stack: Stack) -> None:
    """End that job."""
    _end(stack, "job")


def job_pid(stack: Stack) -> int:
    """Return the number of the job that runs away."""
    return int(_pid_file(stack, "job").read_text())


def job_runs(stack: Stack) -> bool:
    """Whether the job is there and is not paused."""
    try:
        state = Path(f"/proc/{job_pid(stack)}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("T", "t", "Z")


def picture(stack: Stack) -> dict[str, Any]:
    """Take the limit that is in the file, and whether the job runs."""
    file = services.read_settings(stack.facts)
    return {"limit of the API": file.get("API_MEMORY_LIMIT"), "the job runs": job_runs(stack)}


def _ask(path: Path, how: str) -> None:
    facts = Stack(path).facts
    login = {"host": "127.0.0.1", "port": facts["postgres"]["port"], "dbname": facts["postgres"]["database"]}
    connection = psycopg2.connect(**login, application_name=REPORT, **facts["app"])
    connection.autocommit = True
    while path.exists():
        with contextlib.suppress(psycopg2.errors.QueryCanceled):
            connection.cursor().execute(_QUERY)
        if how == "once":
            # Its session stays, as that of an application with a pool does.
            while path.exists():
                time.sleep(0.5)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise StandInError("usage: PATH once|again")
    _ask(Path(sys.argv[1]), sys.argv[2])
