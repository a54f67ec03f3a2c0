"""A restore while something breaks: the server restarts, its disk fills, the object changes, URLs expire."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from restoring import Restoring

from runbook.rehearsal.fault_proxy import S3FaultProxy
from runbook.rehearsal.postgres_server import PostgresBinaries, PostgresServer
from runbook.rehearsal.s3_server import S3Server

BIG = "SELECT i AS id, md5(i::text) || md5((i + 1)::text) AS t FROM generate_series(1, 60000) i"


@pytest.fixture
def own_server(postgres_binaries: PostgresBinaries, server_folder: Path) -> Iterator[PostgresServer]:
    """A server of this test alone, because the test breaks it."""
    server = PostgresServer(postgres_binaries, server_folder / f"own-{time.monotonic_ns()}")
    server.create()
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def restoring(own_server: PostgresServer, s3: S3Server, bucket: str, tmp_path: Path) -> Restoring:
    own_server.execute("CREATE DATABASE app")
    made = Restoring(own_server, s3, bucket, "app", tmp_path)
    made.fill()
    made.fill("CREATE TABLE big AS " + BIG)
    made.backup()
    return made


def during_the_load(restoring: Restoring, act: Callable[[], object]) -> threading.Thread:
    """Call `act` once the new database is there and rows come in."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not restoring.others():
            time.sleep(0.05)
        time.sleep(0.3)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def slowed(proxy: S3FaultProxy, rate: int = 800_000) -> str:
    proxy.rules.add("slow", path=r"\.gz", method="GET", rate=rate, times=0, skip=2)
    return proxy.url


@pytest.mark.slow
def test_the_server_restarts_midway(restoring: Restoring, own_server: PostgresServer) -> None:
    live = restoring.digest()

    ended = threading.Event()

    def restart() -> None:
        own_server.stop("immediate")
        own_server.start()
        ended.wait(60)  # a server ends with the thread that started it

    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        breaker = during_the_load(restoring, restart)
        try:
            said = restoring.run(endpoint_url=slowed(proxy))
            assert said["failed"], said
            assert said["error"]["kind"] in ("server_gone", "server_stopped"), said["error"]
            assert "Next:" in said["msg"]
            assert restoring.digest() == live
            assert restoring.others() == []  # it waited for the server and cleaned up
            assert restoring.run()["changed"]
        finally:
            ended.set()
            breaker.join()


def test_the_object_is_replaced_midway(restoring: Restoring) -> None:
    live = restoring.digest()
    other = restoring.dump()[:100_000] * 40

    def replace() -> None:
        restoring.upload(other)

    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        # The connection breaks behind the replacement, and what goes on is another object.
        proxy.rules.add("slow", path=r"\.gz", method="GET", rate=600_000, times=1, skip=2)
        proxy.rules.add("reset", path=r"\.gz", method="GET", after_bytes=1_000_000, times=1, skip=2)
        breaker = during_the_load(restoring, lambda: (replace(), proxy.drop_all()))
        said = restoring.run(endpoint_url=proxy.url)
        breaker.join()
    assert said["failed"], said
    assert said["error"]["kind"] == "object_replaced", said["error"]
    assert restoring.digest() == live
    assert restoring.others() == []


def test_urls_that_expire_midway_are_renewed(restoring: Restoring) -> None:
    good = restoring.digest()
    restoring.fill("DROP TABLE big")
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        url = slowed(proxy, 700_000)
        proxy.rules.add("cut", path=r"\.gz", method="GET", after_bytes=500_000, times=4, skip=2)
        done = restoring.run(endpoint_url=url, url_expiry=2)
    assert done["changed"], done
    assert restoring.digest() == good


def _small_disk(folder: Path, megabytes: int) -> bool:
    """Mount a small disk where that is allowed: as root with the right to mount."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "oncall-test", str(folder)],
        capture_output=True,
        check=False,
    )
    return made.returncode == 0


def test_the_disk_fills_midway(restoring: Restoring, own_server: PostgresServer, server_folder: Path) -> None:
    disk = server_folder / f"disk-{time.monotonic_ns()}"
    disk.mkdir(mode=0o777)
    if not _small_disk(disk, 14):
        pytest.skip("no right to mount a small disk here")
    try:
        folder = disk / "space"
        folder.mkdir(mode=0o700)
        owner = own_server.data.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        own_server.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        own_server.execute("CREATE DATABASE cramped TABLESPACE small")
        restoring.database = "cramped"
        restoring.fill()
        live = restoring.digest()
        # Two databases need 15 MB there; that it is too little cannot be certain before the load.
        said = restoring.run()
        assert said["failed"], said
        assert said["error"]["kind"] == "disk_full", said["error"]
        assert "free" in said["msg"]
        assert restoring.digest() == live
        assert restoring.others() == [], said["warnings"]
    finally:
        own_server.stop("immediate")
        subprocess.run(["umount", str(disk)], capture_output=True, check=False)
