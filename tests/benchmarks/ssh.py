"""From Enter to the first finding over SSH, beside ten commands of which each opens a connection."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from runbook.rehearsal.ssh_server import SshServer
from runbook.rehearsal.stack import Stack
from tests.benchmarks import commands
from tests.benchmarks.measure import Bench, Target, Variant, Within
from tests.benchmarks.wrapper import broken_stack

FIRST = "runbook run: Enter to the first finding, connection included"
TYPED = "ten commands by a script, one ssh each"


def typed(up: Stack, password_file: Path) -> list[str]:
    """Return what a prose runbook has its reader type, one after the other."""
    facts = up.facts["postgres"]
    login = f"-h {facts['host']} -p {facts['port']} -U {facts['user']} -d {facts['database']} -Atc"
    psql = f"PGPASSFILE={shlex.quote(str(password_file))} {facts['client_dir']}/psql {login}"
    data = shlex.quote(facts["data_dir"])
    return [
        f"df -P {data}",
        f"df -Pi {data}",
        "free -m",
        "uptime",
        f"head -1 {data}/postmaster.pid",
        f"tail -50 {shlex.quote(facts['log_path'])}",
        f"{psql} 'SELECT 1'",
        f"{psql} 'SELECT state, count(*) FROM pg_stat_activity GROUP BY 1'",
        f"{psql} 'SELECT * FROM pg_stat_replication'",
        f"{psql} 'SELECT count(*) FROM public.subscribers'",
    ]


def _password_file(up: Stack, scratch: Path) -> Path:
    facts = up.facts["postgres"]
    path = scratch / "pgpass"
    path.touch(mode=0o600)
    path.write_text(f"*:*:*:{facts['user']}:{facts['password']}\n")
    return path


def _type_all(server: SshServer, lines: list[str]) -> None:
    ssh = [
        "ssh",
        *server.client_options(),
        "-i",
        str(server.client_key),
        "-p",
        str(server.port),
        server.address,
    ]
    for line in lines:
        # Some of them fail: the database is damaged.
        subprocess.run([*ssh, line], capture_output=True, check=False)


@contextlib.contextmanager
def section(scratch: Path) -> Iterator[Bench]:
    """One host over a real sshd on loopback; a real network's round trips cost the typed commands most."""
    server = SshServer(scratch / "ssh")
    with broken_stack() as up:
        server.start()
        try:
            host = {"all": {"hosts": {"roost-prod": server.ansible_variables()}}}
            inventory = scratch / "over_ssh.yml"
            inventory.write_text(json.dumps(host))
            lines = typed(up, _password_file(up, scratch))
            environment = {"REHEARSAL_STACK": str(up.path), "TERM": "xterm"}
            diagnose = commands.diagnose(scratch / "state", inventory)
            variants = [
                Variant(FIRST, lambda: commands.first_finding(diagnose, environment)),
                Variant(TYPED, lambda: _type_all(server, lines)),
            ]
            yield Bench(variants, [Within(FIRST, 5.0), Target(FIRST, TYPED, 1.0)])
        finally:
            server.stop()
