"""The SSH server of the stand-in: opens for its own key only, quickly, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from runbook.rehearsal import ssh_server
from runbook.rehearsal.processes import StandInError, accepts_connections
from runbook.rehearsal.ssh_server import SshServer


def ssh(server: SshServer, *command: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
    asked = ["ssh", *server.client_options(), "-o", "BatchMode=yes", "-i", str(key or server.client_key)]
    asked += ["-p", str(server.port), server.address, *command]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


def test_its_own_key_opens_it(ssh_host: SshServer) -> None:
    assert ssh(ssh_host, "echo", "hello").stdout == "hello\n"


def test_another_key_does_not_open_it(ssh_host: SshServer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    done = ssh(ssh_host, "true", key=other)
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_starts_within_a_second_and_stops_whole(tmp_path: Path) -> None:
    server = SshServer(tmp_path / "ssh")
    began = time.monotonic()
    server.start()
    assert time.monotonic() - began < 10  # well under a second alone; other tests share the processor
    assert server.folder.stat().st_mode & 0o077 == 0
    asked = ["ssh", *server.client_options(), "-i", str(server.client_key), "-p", str(server.port)]
    asked += [server.address, "echo ready; exec sleep 60"]
    sleeper = subprocess.Popen(asked, stdout=subprocess.PIPE)
    assert sleeper.stdout is not None
    assert sleeper.stdout.readline() == b"ready\n"
    server.stop()
    assert sleeper.wait(5) == 255
    sleeper.stdout.close()
    assert not server.running
    assert not accepts_connections(server.port)


def test_a_machine_without_sshd_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ssh_server, "_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandInError, match="openssh-server"):
        SshServer(tmp_path / "ssh").start()
