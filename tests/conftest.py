"""Shared fixtures: real servers, one of each kind per test process, folders that nobody else sees."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.rehearsal.postgres_server import PostgresBinaries, PostgresServer, available_binaries
from runbook.rehearsal.s3_server import S3Server, available_servers
from runbook.rehearsal.ssh_server import SshServer

ROOT = Path(__file__).resolve().parent.parent

# A shell starts background jobs deaf to Ctrl-C, and so would be every command under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that a server running as another user can enter (pytest's own is private)."""
    folder = Path(tempfile.mkdtemp(prefix="oncall-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=available_binaries(), ids=lambda b: b.label)
def postgres_binaries(request: pytest.FixtureRequest) -> PostgresBinaries:
    """Every PostgreSQL of this machine in turn."""
    binaries: PostgresBinaries = request.param
    return binaries


@pytest.fixture(scope="session")
def postgres(postgres_binaries: PostgresBinaries, server_folder: Path) -> Iterator[PostgresServer]:
    """A running server, shared by the tests of one process: use `database` for a database of your own."""
    settings = {"max_prepared_transactions": "8", "wal_level": "logical"}
    # Tests of another server may come in between: then this one is made anew.
    folder = server_folder / f"pg-{postgres_binaries.label}-{uuid.uuid4().hex[:6]}"
    server = PostgresServer(postgres_binaries, folder, settings=settings)
    server.create()
    server.start()
    yield server
    server.stop("immediate")


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The name of an empty database that only this test uses."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    postgres.execute(f'CREATE DATABASE "{name}"')
    yield name
    for (leftover,) in postgres.execute(
        "SELECT datname FROM pg_database WHERE datname LIKE %s", (name + "%",)
    ):
        postgres.execute(f'DROP DATABASE IF EXISTS "{leftover}" WITH (FORCE)')


@pytest.fixture(scope="session")
def s3(server_folder: Path) -> Iterator[S3Server]:
    """A running S3 server, shared by the tests of one process: use `bucket` for a bucket of your own."""
    server = S3Server(server_folder / "s3")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session", params=available_servers(), ids=lambda kind: kind.label)
def any_s3(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[S3Server]:
    """Every kind of S3 server of this machine in turn, running."""
    kind: type[S3Server] = request.param
    server = kind(server_folder / f"any-s3-{kind.label}")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def any_bucket(any_s3: S3Server) -> str:
    """The name of an empty bucket on `any_s3` that only this test uses."""
    return any_s3.make_bucket()


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """The name of an empty bucket that only this test uses."""
    return s3.make_bucket()


@pytest.fixture(scope="session")
def ssh_host(server_folder: Path) -> Iterator[SshServer]:
    """This machine as a target over real SSH: `ansible_variables()` make a host of it."""
    server = SshServer(server_folder / "ssh")
    server.start()
    yield server
    server.stop()


# Each of these takes seconds per case: `make test` runs them on one PostgreSQL, `make slow` on every one.
_ON_ONE_SERVER = (
    "faults/",
    "unit/billing/",
    "unit/breach/",
    "unit/deploy/",
    "unit/jobs/",
    "unit/redis_store/",
    "unit/restore/test_job.py",
    "unit/restore/test_job_restore.py",
    "unit/restore/test_load.py",
    "unit/test_postgres_sessions.py",
    "unit/tokens/",
    "rehearsal/",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the slow combinations to the whole proof."""
    for item in items:
        place = str(item.path.relative_to(ROOT / "tests"))
        if place.startswith(_ON_ONE_SERVER) and "[system-" in item.name:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("containers"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def full_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system without room: what is made there stays empty."""
    with _mounted(tmp_path / "full", "size=4k") as folder:
        (folder / "ballast").write_bytes(b"x" * 4096)
        yield folder


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody can write to, root neither."""
    with _mounted(tmp_path / "read-only", "ro") as folder:
        yield folder


@contextlib.contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
