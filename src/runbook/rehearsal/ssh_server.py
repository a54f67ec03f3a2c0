"""A real SSH server of the stand-in: this machine as a target, reached over loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runbook.rehearsal.processes import Process, StandInError, accepts_connections, free_port

_PLACES = ("/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd")
# As root, sshd refuses to start without the folder that its unprivileged half is locked into.
_PRIVILEGE_SEPARATION = Path("/run/sshd")


def sshd_program() -> str:
    """Return the path of sshd, which it must be started by; StandInError when there is none."""
    for place in (shutil.which("sshd"), *_PLACES):
        if place and os.access(place, os.X_OK):
            return place
    raise StandInError("no SSH server is installed here: install the package openssh-server")


@dataclass
class SshServer:
    """sshd on a loopback address, with keys and settings of its own in `folder` (made private).

    Whoever runs it logs in as itself with the generated key; no other key and no password opens it.
    """

    folder: Path
    address: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        self._process: Process | None = None

    @property
    def client_key(self) -> Path:
        """The private key that opens the server."""
        return self.folder / "client_key"

    @property
    def known_hosts(self) -> Path:
        """The file that makes a client trust this server and no other."""
        return self.folder / "known_hosts"

    @property
    def log(self) -> Path:
        """What sshd says."""
        return self.folder / "sshd.log"

    @property
    def running(self) -> bool:
        """Whether the server lives."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the server and wait until it listens."""
        program = sshd_program()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        self.port = self.port or free_port()
        self._make_keys()
        settings = self.folder / "sshd_config"
        settings.write_text("\n".join(self._settings()) + "\n")
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self._process = Process([program, "-D", "-e", "-f", str(settings)], log=self.log)
        self._process.start()
        self._process.ready(lambda: accepts_connections(self.port, self.address), timeout=10)

    def _make_keys(self) -> None:
        for key in (self.folder / "host_key", self.client_key):
            if not key.exists():
                command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "stand-in", "-f", str(key)]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        public = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {public}")
        shutil.copyfile(self.folder / "client_key.pub", self.folder / "authorized_keys")

    def _settings(self) -> list[str]:
        return [
            f"ListenAddress {self.address}",
            f"Port {self.port}",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            # The folder of a test lies below folders that others may write, such as /tmp.
            "StrictModes no",
            # Many hosts of a rehearsal are this one server, and Ansible opens them all at once.
            "MaxStartups 500:30:1000",
            "MaxSessions 100",
            "PrintMotd no",
            "UseDNS no",
        ]

    def stop(self) -> None:
        """Stop the server, every connection that it serves and what runs in them."""
        if self._process is None or not self._process.running:
            return
        served = _descendants(self._process.pid)
        self._process.stop(timeout=3)
        for pid in served:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)

    def client_options(self) -> list[str]:
        """Return options of `ssh` that reach this server only and touch no file of the user."""
        options = {
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
        }
        return ["-F", "/dev/null", *(part for k, v in options.items() for part in ("-o", f"{k}={v}"))]

    def ansible_variables(self) -> dict[str, object]:
        """Return the variables that make a host of an inventory this server."""
        return {
            "ansible_connection": "ssh",
            "ansible_host": self.address,
            "ansible_port": self.port,
            "ansible_user": getpass.getuser(),
            "ansible_ssh_private_key_file": str(self.client_key),
            "ansible_ssh_common_args": " ".join(self.client_options()),
            "ansible_python_interpreter": sys.executable,
        }


def _descendants(pid: int) -> list[int]:
    """Return the processes below `pid`; each session of sshd leads a process group of its own."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *_descendants(child))]
