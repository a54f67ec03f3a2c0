"""The detached job and its driver: results, URLs, what is seen of it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import control, job
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.plugin_utils import restore_driver
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile
from ansible_collections.oncall.runbooks.plugins.plugin_utils.restore_driver import Driver
from hand_made import END, HandSource, chunks, copy, head, small_dump
from job_runs import (
    drive,
    gone,
    live_rows,
    shell,
    slow,
    start,
    wait_for,
)

from runbook.rehearsal.postgres_server import PostgresServer


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
    assert took - result["duration_s"] < 5, "the end was noticed late"


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
