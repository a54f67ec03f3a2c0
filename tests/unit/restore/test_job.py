"""The detached job and its driver: results, aborts, leases, kills."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import control, job, switch
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.plugin_utils import restore_driver
from ansible_collections.oncall.runbooks.plugins.plugin_utils.restore_driver import Driver, ProgressFile
from hand_made import END, HandSource, chunks, copy, head, login_of, small_dump

from runbook.rehearsal.postgres_server import PostgresServer


@pytest.fixture
def options(postgres: PostgresServer, database: str) -> RestoreOptions:
    postgres.execute("CREATE TABLE precious AS SELECT generate_series(1, 100) AS id", database=database)
    postgres.execute("CREATE TABLE t (id bigint, name text)", database=database)
    login = login_of(postgres, application_name="oncall-run-1")
    return RestoreOptions(database, "run-1", login, key="daily/x.sql.gz", etag="e1", lease=5)


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


def test_a_job_restores_and_leaves_nothing(
    postgres: PostgresServer, options: RestoreOptions, tmp_path: Path
) -> None:
    started = start(options)
    result = drive(started, tmp_path / "progress.jsonl")
    assert result.get("failed") is None, result
    assert result["changed"]
    assert live_rows(postgres, options.database, "t") == 1000
    assert not Path(started["folder"]).exists()
    assert wait_for(lambda: gone(started["pid"]))
    assert "canary" not in str(result)


def test_a_look_waits_on_the_target_and_hears_of_the_end_at_once(options: RestoreOptions) -> None:
    looks: list[float] = []

    def counted(command: str, in_data: bytes | None = None, executable: str = "/bin/sh") -> dict[str, Any]:
        if "heartbeat" in command:
            looks.append(time.monotonic())
        return shell(command, in_data, executable)

    def two_seconds() -> Iterator[ev.Event]:
        yield from list(small_dump())[:-1]
        time.sleep(2)
        yield END

    url = {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}
    started = start(options, two_seconds)
    began = time.monotonic()
    progress = ProgressFile("", "", "")
    result = Driver(counted, started, lambda wants, state: url, renew_every=60, progress=progress).follow()
    assert result.get("failed") is None, result
    took = time.monotonic() - began
    assert len(looks) <= 2 + took / 0.3
    assert took - result["duration_s"] < 1.0, "the end was noticed late"


def test_the_private_folder_holds_no_url(options: RestoreOptions) -> None:
    started = start(replace(options, timeout=1.5), slow)
    folder = Path(started["folder"])
    driver_said: list[str] = []

    def watched(command: str, in_data: bytes | None = None, executable: str = "/bin/sh") -> dict[str, Any]:
        process = Path(f"/proc/{started['pid']}")
        with contextlib.suppress(FileNotFoundError):  # the job ends while we look
            driver_said.extend(file.read_text() for file in folder.iterdir() if file.is_file())
            driver_said.extend((process / name).read_text() for name in ("cmdline", "environ"))
        driver_said.append(command)
        return shell(command, in_data, executable)

    url = "http://127.0.0.1:1/b/daily/x.sql.gz?X-Amz-Signature=canary-signature"
    driver = Driver(
        watched,
        started,
        lambda wants, state: {"daily/x.sql.gz": url},
        renew_every=60,
        progress=ProgressFile("", "run-1", "db1"),
    )
    ended = driver.follow(timeout=1.5)
    assert ended["error"]["kind"] == "timeout", ended  # the job watches the limit itself
    assert ended["left_unchanged"] is True
    assert not folder.exists()
    assert any('"phase": "load"' in text for text in driver_said)
    assert not any("canary" in text for text in driver_said)


@pytest.mark.parametrize("make", [slow, stuck_in_a_statement, stuck_in_an_index])
@pytest.mark.parametrize("how", ["timeout", "term"])
def test_an_abort_ends_everything_at_once(
    postgres: PostgresServer, options: RestoreOptions, make: Callable[[], Iterator[ev.Event]], how: str
) -> None:
    started = start(replace(options, timeout=1) if how == "timeout" else options, make)
    began = time.monotonic()
    if how == "timeout":
        result = drive(started)
    else:

        def terminate(command: str, in_data: bytes | None = None, executable: str = "") -> dict[str, Any]:
            if time.monotonic() - began > 1 and not gone(started["pid"]):
                os.kill(started["pid"], signal.SIGTERM)
            return shell(command, in_data)

        url = {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}
        result = Driver(
            terminate, started, lambda wants, state: url, renew_every=60, progress=ProgressFile("", "", "")
        ).follow()
    assert result["error"]["kind"] == ("timeout" if how == "timeout" else "aborted"), result
    assert result["left_unchanged"] is True
    assert time.monotonic() - began < 8
    assert wait_for(lambda: gone(started["pid"]))
    assert ours(postgres, options.database) == [], result
    assert live_rows(postgres, options.database) == 100
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'oncall-run-1'"
    assert wait_for(lambda: postgres.execute(sessions) == [(0,)])


def test_a_job_without_its_controller_ends_itself(postgres: PostgresServer, options: RestoreOptions) -> None:
    quick = RestoreOptions(**{**options.__dict__, "lease": 1.0})
    started = start(quick, slow)
    fifo = Path(started["folder"]) / "control"
    message = '{"urls": {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}}\n'
    fifo.write_text(message)
    assert wait_for(lambda: ours(postgres, options.database) != [])
    assert wait_for(lambda: gone(started["pid"]))
    assert ours(postgres, options.database) == []
    assert not Path(started["folder"]).exists()


def test_a_job_that_nobody_waits_for_never_switches(
    postgres: PostgresServer, options: RestoreOptions
) -> None:
    """Its load is over long before its lease is: that alone must not put anything in service."""
    started = start(replace(options, lease=2.0))
    fifo = Path(started["folder"]) / "control"
    fifo.write_text('{"urls": {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}}\n')
    assert wait_for(lambda: gone(started["pid"]), 20)
    assert ours(postgres, options.database) == []
    assert live_rows(postgres, options.database) == 100


def test_a_switch_that_began_is_not_broken_off(
    postgres: PostgresServer, options: RestoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = switch.swap

    def swap(*arguments: Any, **more: Any) -> tuple[float, int]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)  # the watcher hears it
        done = real(*arguments, **more)
        time.sleep(0.5)
        return done

    monkeypatch.setattr(switch, "swap", swap)
    result = drive(start(options))
    assert result.get("failed") is None, result
    assert result["changed"]
    assert ours(postgres, options.database) == [options.before_name]
    assert live_rows(postgres, options.database, "t") == 1000


class _TimeLimit(BaseException):
    """What Ansible raises in a task that takes too long is no Exception."""


@pytest.mark.parametrize(
    ("stop", "reached"),
    [(KeyboardInterrupt, True), (_TimeLimit, True), (KeyboardInterrupt, False)],
    ids=["interrupt", "time limit", "the word is lost"],
)
def test_a_driver_that_is_stopped_leaves_no_job_that_switches(
    postgres: PostgresServer, options: RestoreOptions, stop: type[BaseException], reached: bool
) -> None:
    """Also where the host does not get the word: looking whether the job is gone is no sign of life."""
    told: list[float] = []

    def stopped(command: str, in_data: bytes | None = None, executable: str = "") -> dict[str, Any]:
        if not told and ours(postgres, options.database):
            told.append(time.monotonic())
            raise stop
        lost = not reached and in_data is not None and b"abort" in in_data
        return {"rc": 255} if lost else shell(command, in_data)

    def two_seconds() -> Iterator[ev.Event]:
        yield from list(small_dump())[:-1]
        time.sleep(2)
        yield END

    started = start(replace(options, lease=3.0), two_seconds)
    url = {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}
    driver = Driver(
        stopped, started, lambda wants, state: url, renew_every=60, progress=ProgressFile("", "", "")
    )
    with pytest.raises(stop):
        driver.follow()
    assert told
    assert wait_for(lambda: gone(started["pid"]))
    assert not Path(started["folder"]).exists()
    assert ours(postgres, options.database) == []
    assert live_rows(postgres, options.database) == 100


def test_a_job_that_did_not_listen_yet_is_told_again(
    postgres: PostgresServer, options: RestoreOptions
) -> None:
    """What is written before it reads is lost without a trace; its lease would let it work on."""
    words: list[float] = []
    stopped: list[bool] = []

    def deaf_at_first(command: str, in_data: bytes | None = None, executable: str = "") -> dict[str, Any]:
        if in_data is not None and b"abort" in in_data:
            words.append(time.monotonic())
            return shell(command, in_data) if len(words) > 1 else {"rc": 0, "stdout": ""}
        if not stopped and ours(postgres, options.database):
            stopped.append(True)
            raise KeyboardInterrupt
        return shell(command, in_data)

    started = start(replace(options, lease=60.0), slow)
    url = {"daily/x.sql.gz": "http://127.0.0.1:1/x?X-Amz-Signature=canary-signature"}
    progress = ProgressFile("", "", "")
    driver = Driver(deaf_at_first, started, lambda wants, state: url, renew_every=60, progress=progress)
    with pytest.raises(KeyboardInterrupt):
        driver.follow()
    assert time.monotonic() - words[0] < 10
    assert wait_for(lambda: gone(started["pid"]))
    assert ours(postgres, options.database) == []


@pytest.mark.parametrize("phase", ["create", "load", "index", "verify", "switch"])
def test_a_killed_job_leaves_the_live_database_and_the_next_run_cleans_up(
    postgres: PostgresServer, options: RestoreOptions, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.oncall.runbooks.plugins.module_utils.restore import progress

    real = progress.Progress.enter

    def enter(self: progress.Progress, name: str, note: str = "") -> None:
        real(self, name, note)
        if name == phase:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(progress.Progress, "enter", enter)
    started = start(options)
    with pytest.raises(OncallError, match="it was killed before it could say why"):
        drive(started)
    monkeypatch.undo()
    assert not Path(started["folder"]).exists()
    assert live_rows(postgres, options.database) == 100
    next_run = RestoreOptions(**{**options.__dict__, "run": "run-2"})
    result = drive(start(next_run))
    assert result.get("failed") is None, result
    assert bool(result.get("resumed")) == (phase == "switch")
    assert ours(postgres, options.database) == [next_run.before_name]
    assert live_rows(postgres, options.database, "t") == 1000


def test_a_failure_says_what_and_where_without_a_secret(options: RestoreOptions) -> None:
    def broken() -> Iterator[ev.Event]:
        yield from head()
        yield from copy(chunks(500))
        raise OncallError("read http://127.0.0.1/x?X-Amz-Signature=canary-signature", got="503")

    result = drive(start(options, broken))
    assert result["failed"]
    assert result["phase"] == "load"
    assert "canary" not in str(result)
    assert "http://127.0.0.1/x?***" in result["msg"]


def test_a_url_that_is_wanted_is_sent_again(options: RestoreOptions) -> None:
    sent: list[int] = []

    def sign(wants: object, state: object) -> dict[str, str]:
        sent.append(1)
        return {"daily/x.sql.gz": f"http://127.0.0.1:1/x?n={len(sent)}&Signature=canary-signature"}

    class Expired(HandSource):
        def __init__(self, urls: control.UrlBook) -> None:
            super().__init__()
            self._urls = urls

        def header(self) -> ev.DumpHeader:
            first = self._urls.get("daily/x.sql.gz")
            assert self._urls.get("daily/x.sql.gz", stale=first) != first
            return super().header()

    started = job.detach(options, job.restoring(options, lambda urls, progress: Expired(urls)))
    result = Driver(shell, started, sign, renew_every=60, progress=ProgressFile("", "", "")).follow()
    assert result.get("failed") is None, result
    assert len(sent) >= 2


def test_a_url_signed_again_within_the_same_second_stays_wanted() -> None:
    book = control.UrlBook(timeout=5)
    book.put({"k": "one"})
    got: list[str] = []
    waiting = threading.Thread(target=lambda: got.append(book.get("k", stale="one")))
    waiting.start()
    assert wait_for(lambda: book.wanted == ["k"])
    book.put({"k": "one"})
    assert book.wanted == ["k"]
    book.put({"k": "two"})
    waiting.join(5)
    assert got == ["two"]
    assert book.wanted == []


def test_a_look_through_a_terminal_is_understood() -> None:
    said = 'Last login: today\r\nalive\r\nprogress\r\n{"phase": "load"}\r\n--oncall-end--\r\n'
    assert restore_driver._parse(said) == {"alive": True, "progress": {"phase": "load"}}
    assert restore_driver._parse(said[:30]) is None


def test_scrub_takes_the_query_of_every_url() -> None:
    said = control.scrub("GET https://h/b/k?X-Amz-Signature=abc&x=1 and X-Amz-Credential=me failed")
    assert said == "GET https://h/b/k?*** and X-Amz-Credential=*** failed"


def test_a_watcher_that_is_told_to_stop_does_not_sleep_out_its_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_TICK", 60.0)
    os.mkfifo(tmp_path / "control")
    wake, writer = os.pipe()
    watcher = control.Watcher(
        control.JobFolder(str(tmp_path)), control.UrlBook(), dict, lambda _reason: None, lease=60, wake=wake
    )
    watcher.start()
    time.sleep(0.05)  # it sleeps by now
    began = time.monotonic()
    watcher.stop()
    os.close(wake)
    os.close(writer)
    assert time.monotonic() - began < 30
