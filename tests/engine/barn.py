"""A project with the shipped database runbook, and one system whose real database is damaged."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.file import FileStore
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.protocol import LockProtocol
from runbook_engine import state
from runbook_engine.state import RunFolder

from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.s3_server import S3Server
from runbook.rehearsal.ssh_server import SshServer

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).resolve().parent / "fixtures"
PATTERN = r"app_(?P<timestamp>\d{8}T\d{6}Z)\.(sql|sql\.gz|sql\.zst|dump|tar)"
SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, name text);
INSERT INTO users
SELECT i, string_agg(md5(format('%s/%s', i, n)), '') FROM generate_series(1, 40000) i, generate_series(1, 4) n
GROUP BY i;
"""


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

    def damage(self) -> None:
        """Lose the rows again, and what earlier restores kept."""
        for name in self.databases():
            self.server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        # Else the same backup would not be restored again: it is in service already.
        self.server.execute(f'ALTER DATABASE "{self.database}" RESET ALL')
        self.server.execute("DELETE FROM users", database=self.database)

    def play(self, *variables: str, strike: str) -> int:
        """Run `ansible-playbook` itself to its end, which `strike` may bring."""
        environment = self._environment() | {
            "STRIKE": strike,
            "ANSIBLE_CALLBACK_PLUGINS": f"{self.folder}/project/plugins/callback:{FIXTURES}/callback_plugins",
            "ANSIBLE_CALLBACKS_ENABLED": "record,warm,strike",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
        }
        given = [part for variable in variables for part in ("-e", variable)]
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "playbooks/database_failure.yml", *given],
            cwd=self.folder / "project", env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=300, check=False,
        )  # fmt: skip
        return done.returncode

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ONCALL_", "RUNBOOK_", "ANSIBLE_"))}
        return kept | {"RUNBOOK_STATE": str(self.folder / "state"), "COLUMNS": "80"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command `runbook`."""
        command = [sys.executable, "-m", "runbook.cli", *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder / "project", env=self._environment(), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Run the command to its end."""
        process = self.start(*arguments)
        out = process.communicate(timeout=300)[0]
        return process.returncode, out

    def result(self, run: str) -> dict[str, Any]:
        """The result of a run."""
        shown: dict[str, Any] = json.loads(self("show-run", run, "--json")[1])
        return shown

    def newest(self) -> RunFolder:
        """The folder of the newest run."""
        return state.list_runs(self.folder / "state")[0]

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

    def is_loading(self) -> bool:
        """Whether a backup is being loaded."""
        return any("_restore_" in name for name in self.databases()) and self.sessions() > 1

    def is_free(self) -> bool:
        """Whether nobody holds the lock of the system, as the command says."""
        return self("lock", "show", "roost")[0] == 0

    def is_unlocked(self) -> bool:
        """The same, as the host itself sees it."""
        lock = LockProtocol(FileStore("roost", {"directory": str(self.folder / "locks")}))
        return not lock.info()["lock"]["held"]

    def users(self) -> int:
        """Rows of the live database."""
        return int(self.server.execute("SELECT count(*) FROM users", database=self.database)[0][0])

    def processes(self) -> list[str]:
        """What runs of this test left: of the command, of Ansible, of a job."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ = (folder / "environ").read_bytes()
                status = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                argv = (folder / "cmdline").read_bytes().decode().replace("\0", " ")
            except OSError:
                continue
            marks = [str(self.folder / "state").encode(), *(f"ONCALL_STEP={r}/".encode() for r in self.runs)]
            if status != "Z" and any(mark in environ for mark in marks) and int(folder.name) != os.getpid():
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


def until(what: Callable[[], bool], seconds: float = 60, during: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline or (during is not None and during.poll() is not None):
            if during is not None:
                during.terminate()
            raise AssertionError(during.communicate()[0] if during is not None else "waited in vain")
        time.sleep(0.01)


def signal_all(barn: Barn, number: signal.Signals) -> None:
    """Send a signal to the whole controller: the command, Ansible and the keeper of the lock."""
    mark = str(barn.folder / "state").encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark in (folder / "environ").read_bytes() and int(folder.name) != os.getpid()
            ours = ours and b"AnsiballZ" not in (folder / "cmdline").read_bytes()
            if ours and b"ONCALL_STEP" not in (folder / "environ").read_bytes():
                os.kill(int(folder.name), number)
        except OSError:
            continue
