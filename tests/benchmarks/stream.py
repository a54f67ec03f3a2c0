"""The whole diagnosis of a stream outage over SSH, beside the prose runbook's commands in one SSH session."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from runbook.rehearsal import stack
from runbook.rehearsal.ssh_server import SshServer
from runbook.rehearsal.symptoms import services
from tests.benchmarks import commands
from tests.benchmarks.measure import Bench, Target, Variant, Within

DIAGNOSED = "stream-outage, diagnosed: everything well"
TYPED = "commands by a script in one SSH session: everything well"
DIAGNOSED_FROZEN = "stream-outage, diagnosed: relay is frozen"
TYPED_FROZEN = "commands by a script in one SSH session: relay is frozen"
# The prose runbook gives its health checks no time limit: of a frozen service one ends when it is broken off.
_PATIENCE_S = 10
_PARTS = frozenset({"database", "services"})


def typed(up: stack.Stack) -> list[str]:
    """Return what the prose runbook has its reader type; the stand-in has supervisorctl instead of docker."""
    facts = up.facts
    state = f"{facts['supervisor']['ctl']} -c {facts['supervisor']['config']} status"
    relay, tunnel = (facts["services"][name] for name in ("relay", "tunnel"))
    admin = f"-H 'Authorization: Bearer {facts['admin_token']}' {facts['public_url']}/admin/cdn/health"
    return [
        f"{state} | grep relay",
        f"timeout {_PATIENCE_S} curl -s {relay['url']}/health",
        f"tail -50 {relay['log']}",
        f"curl -s {tunnel['url']}/metrics",
        f"curl -s {tunnel['url']}/ready",
        f"curl -s {admin}",
        "df -h",
        "free -m",
        "uptime",
        state,
    ]


def _type_all(server: SshServer, lines: list[str]) -> None:
    """Open one session and give the next command when the one before has ended."""
    where = ["-p", str(server.port), "-i", str(server.client_key), server.address]
    ssh = ["ssh", *server.client_options(), *where, "bash"]
    with subprocess.Popen(ssh, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdin
        assert session.stdout
        for line in lines:
            session.stdin.write(f"{line}; echo; echo --done--\n")
            session.stdin.flush()
            while (said := session.stdout.readline()) and said.strip() != "--done--":
                pass
        session.stdin.close()


def _diagnose(inventory: Path) -> list[str]:
    shipped = commands.ROOT / "inventories" / commands.SYSTEM
    playbook = commands.ROOT / "playbooks" / "stream_outage.yml"
    sources = [part for path in (shipped, commands.OVERLAY, inventory) for part in ("-i", str(path))]
    return [commands.program("ansible-playbook"), *sources, str(playbook)]


def _variants(
    up: stack.Stack, server: SshServer, command: list[str], environment: Mapping[str, str]
) -> list[Variant]:
    lines = typed(up)
    freeze, thaw = (services.send("relay", number) for number in (signal.SIGSTOP, signal.SIGCONT))

    def variant(name: str, work: str, before: services.Action) -> Variant:
        if work == "typed":
            return Variant(name, lambda: _type_all(server, lines), lambda: before(up))
        return Variant(name, lambda: commands.run(command, environment), lambda: before(up))

    return [
        variant(DIAGNOSED, "diagnose", thaw),
        variant(TYPED, "typed", thaw),
        variant(DIAGNOSED_FROZEN, "diagnose", freeze),
        variant(TYPED_FROZEN, "typed", freeze),
    ]


@contextlib.contextmanager
def section(scratch: Path) -> Iterator[Bench]:
    """One host over a real sshd on loopback; a real network's round trips cost the typed commands most."""
    server = SshServer(scratch / "ssh")
    with stack.running(stack.Options(parts=_PARTS, scale=0.1)) as up:
        server.start()
        try:
            inventory = scratch / "over_ssh.yml"
            inventory.write_text(json.dumps({"all": {"hosts": {"roost-prod": server.ansible_variables()}}}))
            environment = {"REHEARSAL_STACK": str(up.path), "RUNBOOK_STATE": str(scratch / "state")}
            promises = [
                Within(DIAGNOSED, 5.0),
                Within(DIAGNOSED_FROZEN, 5.0),
                Target(DIAGNOSED, TYPED, 1.0),
                Target(DIAGNOSED_FROZEN, TYPED_FROZEN, 1.0),
            ]
            yield Bench(_variants(up, server, _diagnose(inventory), environment), promises)
        finally:
            services.send("relay", signal.SIGCONT)(up)
            server.stop()
