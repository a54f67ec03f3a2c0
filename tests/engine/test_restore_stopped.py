"""The real restore, stopped in the middle and at the worst moment: it is resumed, or taken back."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal.fault_proxy import S3FaultProxy
from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.s3_server import S3Server
from runbook.rehearsal.ssh_server import SshServer

from .conftest import ROOT

pytestmark = pytest.mark.slow
PATTERN = r"app_(?P<timestamp>\d{8}T\d{6}Z)\.(sql|sql\.gz|sql\.zst|dump|tar)"
SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, name text);
INSERT INTO users
SELECT i, string_agg(md5(format('%s/%s', i, n)), '') FROM generate_series(1, 40000) i, generate_series(1, 4) n
GROUP BY i;
"""
# More than an inspection reads of a backup, less than the backup has.
HELD_AFTER = 1_500_000


@dataclass
class Barn:
    """A project with the shipped runbook and one system, whose database is real."""

    folder: Path
    server: PostgresServer
    s3: S3Server
    bucket: str
    database: str
    host: dict[str, Any]
    endpoint: str = ""
    limit: int = 0
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def runs(self) -> list[str]:
        """The runs, the oldest first."""
        return sorted(path.name for path in (self.folder / "state" / "runs").glob("*"))

    def write(self) -> None:
        """Write the inventory."""
        server = self.server
        system = {"name": "roost", "runbooks": {"database-failure": {"severity": "SEV-2"}}}
        variables = {
            "system": system,
            "postgres_database": self.database,
            "postgres_login_port": server.port,
            "postgres_login_user": server.superuser,
            "postgres_login_password": server.password,
            "postgres_client_dir": str(server.binaries.bin_dir),
            "postgres_runtime": {"kind": "process", "data_dir": str(server.data)},
            "postgres_data_path": str(server.data),
            "postgres_docker_root": "",
            "postgres_log_path": "",
            "postgres_expected_tables": ["public.users"],
            "backup_endpoint_url": self.endpoint or self.s3.endpoint,
            "backup_bucket": self.bucket,
            "backup_prefix": "daily/",
            "backup_pattern": PATTERN,
            "backup_access_key": self.s3.access_key,
            "backup_secret_key": self.s3.secret_key,
            "backup_max_age_hours": 1000000,
            "run_step_timeout_s": self.limit,
            "run_lock_directory": str(self.folder / "locks"),
            "ansible_remote_tmp": str(self.folder / "remote"),
        }
        inventory = self.folder / "project" / "inventories" / "roost"
        (inventory / "group_vars" / "all").mkdir(parents=True, exist_ok=True)
        (inventory / "group_vars" / "all" / "system.yml").write_text(json.dumps(variables))
        hosts = {"all": {"children": {"database": {"hosts": {"target": self.host}}}}}
        (inventory / "hosts.yml").write_text(json.dumps(hosts))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command `runbook`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ONCALL_", "RUNBOOK_", "ANSIBLE_"))}
        environment = kept | {"RUNBOOK_STATE": str(self.folder / "state"), "COLUMNS": "80"}
        command = [sys.executable, "-m", "runbook.cli", *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder / "project", env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Run the command to its end."""
        process = self.start(*arguments)
        out = process.communicate(timeout=180)[0]
        return process.returncode, out

    def result(self, run: str) -> dict[str, Any]:
        """The result of a run."""
        shown: dict[str, Any] = json.loads(self("show-run", run, "--json")[1])
        return shown

    def databases(self) -> list[str]:
        """The databases beside the live one."""
        found = self.server.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s AND datname <> %s",
            (self.database + "%", self.database),
        )
        return [name for (name,) in found]

    def sessions(self) -> int:
        """Sessions of any run."""
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'oncall-%%'"
        return int(self.server.execute(count)[0][0])

    def users(self) -> int:
        """Rows of the live database."""
        return int(self.server.execute("SELECT count(*) FROM users", database=self.database)[0][0])

    def processes(self) -> list[str]:
        """What runs of this test left: of the command, of Ansible, of a job."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ = (folder / "environ").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                argv = (folder / "cmdline").read_bytes().decode().replace("\0", " ")
            except OSError:
                continue
            marks = [str(self.folder / "state").encode(), *(f"ONCALL_STEP={r}/".encode() for r in self.runs)]
            if state != "Z" and any(mark in environ for mark in marks) and int(folder.name) != os.getpid():
                found.append(f"{folder.name} {argv}")
        return found


@pytest.fixture(params=["local", "ssh"])
def barn(
    request: pytest.FixtureRequest,
    postgres: PostgresServer,
    database: str,
    s3: S3Server,
    tree: Path,
) -> Iterator[Barn]:
    """A damaged database with a good backup."""
    host: dict[str, Any] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    if request.param == "ssh":
        server: SshServer = request.getfixturevalue("ssh_host")
        host = server.ansible_variables()
    bucket: str = request.getfixturevalue("bucket")
    with tempfile.TemporaryDirectory(prefix="barn-") as name:
        made = Barn(Path(name), postgres, s3, bucket, database, host)
        project = made.folder / "project"
        project.mkdir()
        for part in ("plugins", "collections", "playbooks"):
            (project / part).symlink_to(tree / part)
        (project / "ansible.cfg").write_bytes((ROOT / "ansible.cfg").read_bytes())
        postgres.execute(SCHEMA, database=database)
        dump = gzip.compress(postgres.run("pg_dump", database).stdout, 3)
        s3.client().put_object(Bucket=bucket, Key="daily/app_20261120T030000Z.sql.gz", Body=dump)
        postgres.execute("DELETE FROM users", database=database)
        made.write()
        yield made
        for process in made.started:
            process.kill()
            process.communicate()


def _until(
    what: Callable[[], bool], seconds: float = 60, during: subprocess.Popen[str] | None = None
) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline or (during is not None and during.poll() is not None):
            if during is not None:
                during.terminate()
            raise AssertionError(during.communicate()[0] if during is not None else "waited in vain")
        time.sleep(0.01)


def _kill_all(barn: Barn) -> None:
    """The controller is gone at once: the command, Ansible and the keeper of the lock."""
    mark = str(barn.folder / "state").encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark in (folder / "environ").read_bytes() and int(folder.name) != os.getpid()
            ours = ours and b"AnsiballZ" not in (folder / "cmdline").read_bytes()
            if ours and b"ONCALL_STEP" not in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue


RESTORE = ("run", "roost", "database-failure", "--mitigation", "restore", "--apply", "--confirm", "roost")


@contextlib.contextmanager
def held_in_the_middle(barn: Barn) -> Iterator[threading.Event]:
    """However fast a restore is, it is in the middle of the backup until the event is set."""
    go_on = threading.Event()
    with S3FaultProxy(barn.s3.endpoint) as proxy:
        proxy.rules.add(
            "hook", path=r"\.gz", method="GET", after_bytes=HELD_AFTER, times=0, hook=lambda: go_on.wait(120)
        )
        barn.endpoint = proxy.url
        try:
            yield go_on
        finally:
            go_on.set()


@pytest.mark.parametrize("how", ["SIGINT twice", "SIGTERM", "SIGKILL", "kill all", "time limit"])
def test_a_restore_that_is_stopped_in_the_middle_leaves_nothing_and_is_resumed(barn: Barn, how: str) -> None:
    with held_in_the_middle(barn) as go_on:
        barn.limit = 25 if how == "time limit" else 0
        barn.write()
        process = barn.start(*RESTORE)
        _until(
            lambda: any("_restore_" in name for name in barn.databases()) and barn.sessions() > 1, 90, process
        )
        if how == "kill all":
            _kill_all(barn)
        signals = {"SIGINT twice": ["SIGINT"] * 2, "kill all": [], "time limit": []}.get(how, [how])
        for name in signals:
            process.send_signal(signal.Signals[name])
            time.sleep(0.3)
        out = process.communicate(timeout=90)[0]
        # At once when there is somebody to do it; by its lease when there is nobody.
        _until(lambda: not barn.processes() and barn.sessions() == 0, 45)
        _until(lambda: barn("lock", "show", "roost")[0] == 0, 45)
        assert barn.databases() == []
        assert barn.users() == 0
        stopped = barn.result(barn.runs[-1])
        assert stopped["exit"]["code"] in (20, 21), stopped["exit"]
        if how == "time limit":
            assert "was stopped after 25 s, its time limit" in " ".join(out.split())
        go_on.set()
        code, out = barn("resume", barn.runs[-1], "--apply", "--confirm", "roost")
    assert code == 0, out
    assert barn.users() == 40000


def test_a_switch_that_nobody_recorded_is_found_out_resumed_and_taken_back(barn: Barn) -> None:
    process = barn.start(*RESTORE)
    _until(lambda: any("_before_" in name for name in barn.databases()), 90, process)
    _kill_all(barn)
    process.communicate(timeout=30)
    run = barn.runs[-1]
    stopped = barn.result(run)
    if stopped["ended"] == "finished":
        pytest.skip("the run was faster than its killer")
    assert stopped["exit"]["code"] == 21
    oid = "SELECT oid FROM pg_database WHERE datname = %s"
    switched = barn.server.execute(oid, (barn.database,))
    _until(lambda: not barn.processes(), 60)
    time.sleep(12)  # the lease of the lock
    code, out = barn("resume", run, "--apply", "--confirm", "roost")
    assert code == 0, out
    assert "found out" in out
    resumed = barn.result(barn.runs[-1])
    assert [t["state"] for t in resumed["reconciled"]] == ["done"]
    assert resumed["exit"]["name"] == "verified"
    # It is the same database: nothing was restored a second time.
    assert barn.server.execute(oid, (barn.database,)) == switched
    assert barn.users() == 40000
    code, out = barn("undo", barn.runs[-1], "--apply", "--confirm", "roost")
    assert code == 0, out
    assert barn.users() == 0
