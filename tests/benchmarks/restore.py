"""The restore against the literal procedure, one bare psql, and pg_restore from a local file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runbook.rehearsal.postgres_server import PostgresServer, choose_binaries
from runbook.rehearsal.s3_server import S3Server, available_servers
from tests.benchmarks import dataset
from tests.benchmarks.measure import Bench, Promise, Target, Variant, Within

ROOT = Path(__file__).resolve().parents[2]
LITERAL = "literal: download, gunzip, psql < file"
PSQL = "bare psql fed from RAM"
PG_RESTORE = "pg_restore -j2 from a local file"
PLAIN_1 = "pg_restore_r2 .sql.gz jobs=1"
PLAIN_2 = "pg_restore_r2 .sql.gz jobs=2"
CUSTOM_2 = "pg_restore_r2 -Fc jobs=2"
WINDOW = "longest switch so far, by the module's own clock"
WINDOW_LIMIT_S = 0.2
PROMISES: list[Promise] = [
    Target(PLAIN_2, LITERAL, 0.55),
    Target(PLAIN_1, PSQL, 1.10),
    Target(PLAIN_2, PSQL, 0.85),
    Target(CUSTOM_2, PG_RESTORE, 1.00),
    Within(WINDOW, WINDOW_LIMIT_S),
]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Restore
      oncall.runbooks.pg_restore_r2: "{{ options }}"
"""


class RestoreBench:
    """One server, one bucket, and the ways to get the backup back."""

    def __init__(self, server: PostgresServer, s3: S3Server, dumps: dataset.Dumps, scratch: Path) -> None:
        self.server, self.s3, self.dumps, self.scratch = server, s3, dumps, scratch
        self.play = scratch / "restore.yml"
        self.play.write_text(PLAY)
        self.in_ram = Path(tempfile.mkdtemp(dir="/dev/shm")) / "bench.sql"
        self.in_ram.write_bytes(dumps.plain.read_bytes())
        self.windows: list[float] = []

    def fresh(self, name: str) -> None:
        """Drop what earlier runs left and begin with an empty database and a settled server."""
        for (old,) in self.server.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", (name + "%",)
        ):
            self.server.execute(f'DROP DATABASE "{old}" WITH (FORCE)')
        self.server.execute(f"CREATE DATABASE {name}")
        self.server.execute("CHECKPOINT")

    def psql(self, database: str, source: Path) -> None:
        """Feed one file to the server's own psql."""
        with source.open("rb") as dump:
            subprocess.run(
                [self.server.binaries.tool("psql"), "-q", "-o", os.devnull, "-d", database],
                stdin=dump, env=self.server.environment(database), check=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def literal(self) -> None:
        """What the prose runbook says: everything to disk, unpack it, pipe it into psql."""
        archive = self.scratch / "backup.sql.gz"
        url = self.s3.client().generate_presigned_url(
            "get_object", Params={"Bucket": dataset.BUCKET, "Key": "sql.gz/bench-2026-11-20T03-00-00Z.sql.gz"}
        )
        subprocess.run(["curl", "-fsS", "-o", archive, url], check=True)
        subprocess.run(["gunzip", "-f", archive], check=True)
        self.psql("lit", archive.with_suffix(""))

    def pg_restore(self) -> None:
        """PostgreSQL's own parallel restore, with the archive already on the local disk."""
        command = [self.server.binaries.tool("pg_restore"), "-j2", "-d", "pgr", str(self.dumps.custom)]
        subprocess.run(command, env=self.server.environment("pgr"), check=True)

    def ours(self, suffix: str, jobs: int) -> None:
        """The module through a plain ansible-playbook, everything included: start, verification, switch."""
        options = {
            "database": "ours", "bucket": dataset.BUCKET, "prefix": f"{suffix}/",
            "pattern": r"bench-(?P<timestamp>[0-9TZ-]+)\." + suffix.replace(".", r"\."),
            "timestamp_format": "%Y-%m-%dT%H-%M-%SZ", "endpoint_url": self.s3.endpoint, "region": "auto",
            "access_key": self.s3.access_key, "secret_key": self.s3.secret_key, "jobs": jobs,
            "allow_other_database": True,
            "login_host": "127.0.0.1", "login_port": self.server.port, "login_user": self.server.superuser,
            "login_password": self.server.password, "client_dir": str(self.server.binaries.bin_dir),
        }  # fmt: skip
        variables = self.scratch / "options.json"
        variables.write_text(json.dumps({"options": options, "ansible_python_interpreter": sys.executable}))
        playbook = Path(sys.executable).parent / "ansible-playbook"
        plain = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal", "RUNBOOK_STATE": str(self.scratch)}
        done = subprocess.run(
            [playbook, "-i", "localhost,", "-c", "local", "-e", f"@{variables}", self.play],
            cwd=ROOT,
            env={**os.environ, **plain},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the restore failed: {done.stdout[-2000:]}{done.stderr[-1000:]}")
        result: dict[str, Any]
        result, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
        self.windows.append(result["window_ms"])

    def variants(self) -> list[Variant]:
        """Everything that is compared."""
        return [
            Variant(LITERAL, self.literal, lambda: self.fresh("lit")),
            Variant(PSQL, lambda: self.psql("ram", self.in_ram), lambda: self.fresh("ram")),
            Variant(PLAIN_1, lambda: self.ours("sql.gz", 1), lambda: self.fresh("ours")),
            Variant(PLAIN_2, lambda: self.ours("sql.gz", 2), lambda: self.fresh("ours")),
            Variant(PG_RESTORE, self.pg_restore, lambda: self.fresh("pgr")),
            Variant(CUSTOM_2, lambda: self.ours("dump", 2), lambda: self.fresh("ours")),
            Variant(WINDOW, lambda: max(self.windows) / 1000),
        ]

    def close(self) -> None:
        """Give the RAM back."""
        self.in_ram.unlink(missing_ok=True)
        self.in_ram.parent.rmdir()


@contextlib.contextmanager
def ready(scratch: Path, postgres: str, rows: int) -> Iterator[RestoreBench]:
    """Yield a bench whose server runs and whose backups are in their bucket."""
    server = dataset.server_in(scratch / "pg", choose_binaries(postgres))
    # The mock reads a whole object for each range of it, as no store does: a server of files if there is one.
    s3 = available_servers()[-1](scratch / "s3")
    s3.start()
    try:
        dumps = dataset.prepare(ROOT / ".cache" / "bench", server, rows)
        dataset.upload(s3, dumps)
        bench = RestoreBench(server, s3, dumps, scratch)
        try:
            yield bench
        finally:
            bench.close()
    finally:
        s3.stop()
        server.stop()


@contextlib.contextmanager
def section(scratch: Path, postgres: str, rows: int) -> Iterator[Bench]:
    """The whole way back of a database of about 1 GB."""
    with ready(scratch, postgres, rows) as bench:
        yield Bench(bench.variants(), PROMISES)
