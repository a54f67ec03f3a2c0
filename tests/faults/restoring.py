"""Running the real module through the real `ansible-playbook` against real servers."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.s3_server import S3Server

ROOT = Path(__file__).resolve().parents[2]
PATTERN = r"app_(?P<timestamp>\d{8}T\d{6}Z)\.(sql|sql\.gz|sql\.zst|dump|tar)"
PLAY = """
- hosts: all
  gather_facts: false
  environment: "{{{{ job_environment | default({{}}) }}}}"
  tasks:
    - name: Restore
      oncall.runbooks.pg_restore_r2: "{{{{ cases[item] }}}}"
      loop: "{{{{ range(cases | length) | list }}}}"
      register: outcome
      ignore_errors: true
    - name: Keep the result
      ansible.builtin.copy:
        content: "{{{{ outcome.results | to_json }}}}"
        dest: "{result}"
        mode: "0600"
      check_mode: false
      diff: false
"""
SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, "E-Mail" text UNIQUE, created_at timestamptz DEFAULT now());
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint REFERENCES users, note text);
INSERT INTO users SELECT i, 'u' || i || E'@x\\t\\n\\\\.', now() - interval '2 days'
FROM generate_series(1, 3000) i;
INSERT INTO orders SELECT i, 1 + i % 3000, repeat('note ', 40) FROM generate_series(1, 6000) i;
CREATE INDEX orders_user ON orders (user_id);
"""


@dataclass
class Restoring:
    """One live database, one bucket, and the module between them."""

    server: PostgresServer
    s3: S3Server
    bucket: str
    database: str
    folder: Path
    extra: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    output: str = ""
    host: dict[str, Any] = field(
        default_factory=lambda: {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        }
    )

    def fill(self, sql: str = SCHEMA) -> None:
        """Give the live database its content."""
        self.server.execute(sql, database=self.database)

    def dump(self, *arguments: str) -> bytes:
        """Return a dump of the live database by the server's own pg_dump."""
        out: bytes = self.server.run("pg_dump", *arguments, self.database).stdout
        return out

    def upload(self, content: bytes, key: str = "daily/app_20261120T030000Z.sql.gz", **more: Any) -> str:
        """Put one object into the bucket."""
        self.s3.client().put_object(Bucket=self.bucket, Key=key, Body=content, **more)
        return key

    def backup(self, key: str = "daily/app_20261120T030000Z.sql.gz") -> str:
        """Dump the live database and upload it, compressed."""
        return self.upload(gzip.compress(self.dump(), 3), key)

    def options(self, **more: Any) -> dict[str, Any]:
        """Return the module's options."""
        return {
            "database": self.database,
            "endpoint_url": self.s3.endpoint,
            "bucket": self.bucket,
            "prefix": "daily/",
            "pattern": PATTERN,
            "access_key": self.s3.access_key,
            "secret_key": self.s3.secret_key,
            "login_host": "127.0.0.1",
            "login_port": self.server.port,
            "login_user": self.server.superuser,
            "login_password": self.server.password,
            "client_dir": str(self.server.binaries.bin_dir),
            "run": "run-1",
            "stall_timeout": 2,
            **self.extra,
            **more,
        }

    def command(self, result: Path, *flags: str, cases: list[dict[str, Any]]) -> list[str]:
        """Return the command line; the options go by a file, as an operator's vault would."""
        play, inventory = self.folder / "play.yml", self.folder / "hosts.json"
        variables = self.folder / "vars.json"
        play.write_text(PLAY.format(result=result))
        inventory.write_text(json.dumps({"all": {"hosts": {"target": self.host}}}))
        variables.write_text(json.dumps({"cases": cases}))
        program = str(Path(sys.executable).parent / "ansible-playbook")
        return [program, "-i", str(inventory), str(play), "-e", f"@{variables}", *flags]

    def start(self, **more: Any) -> subprocess.Popen[bytes]:
        """Start the module in a process group of its own and return at once."""
        return subprocess.Popen(
            self.command(self.folder / "result.json", cases=[self.options(**more)]),
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of the controller."""
        return {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
            "ONCALL_PROGRESS": str(self.folder / "progress.jsonl"),
            **self.settings,
        }

    def run(self, *flags: str, **more: Any) -> dict[str, Any]:
        """Run the module and return its result; the secrets must not be in any output."""
        return self.run_all([more], *flags)[0]

    def run_all(self, cases: list[dict[str, Any]], *flags: str) -> list[dict[str, Any]]:
        """Run the module once per case, in one play, and return the results."""
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        done = subprocess.run(
            self.command(result, *flags, cases=[self.options(**more) for more in cases]),
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert result.exists(), done.stdout[-3000:] + done.stderr[-3000:]
        self.output = done.stdout + done.stderr
        said = self.output + result.read_text()
        progress = self.folder / "progress.jsonl"
        said += progress.read_text() if progress.exists() else ""
        for secret in (self.s3.secret_key, self.server.password, "X-Amz-Signature"):
            assert secret not in said
        outcomes: list[dict[str, Any]] = json.loads(result.read_text())
        return outcomes

    def digest(self, database: str = "") -> str:
        """Return what tells whether a database is exactly as it was: its whole dump."""
        out = self.server.run("pg_dump", database or self.database).stdout.decode(errors="replace")
        # Rows have no order, and the key of \restrict is another one in every dump.
        return "\n".join(sorted(line for line in out.splitlines() if "restrict " not in line[:12]))

    def failed(self, said: dict[str, Any], kind: str, live: str, *words: str) -> None:
        """Assert a failure of `kind` that says what to do next and left the live database as it was."""
        assert said.get("failed"), said
        assert said["error"]["kind"] == kind, said["error"]
        assert said["error"]["next_step"], said["error"]
        assert "Next:" in said["msg"]
        for word in words:
            assert word in said["msg"], said["msg"]
        assert said["left_unchanged"] is True, said
        assert self.digest() == live

    def sessions(self) -> int:
        """Return how many sessions of a restore are left in the server."""
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'oncall-%%'"
        return int(self.server.execute(count)[0][0])

    def others(self) -> list[str]:
        """Return the databases that were made beside the live one."""
        found = self.server.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s AND datname <> %s ORDER BY 1",
            (self.database + "%", self.database),
        )
        return [name for (name,) in found]
