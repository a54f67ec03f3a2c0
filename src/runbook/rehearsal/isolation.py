"""A world of its own for a rehearsal: user, mount, network and process namespaces where they are allowed.

Inside, the production's ports are free, a small disk can be mounted and filled, and everything that was
started ends with the first process of the namespace, however that dies. Elsewhere rehearsals run as plain
processes on free ports.

There are two tiers. `embedded` needs no right and no engine: the system's parts are processes. `docker` is
for root on a machine with an engine's programs: the same parts are containers of an engine of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from runbook.rehearsal import engine_view
from runbook.rehearsal.processes import StandInError, die_with_parent

_MARK = "ONCALL_REHEARSAL_ISOLATION"
_TIER = "ONCALL_REHEARSAL_TIER"
TIERS = ("embedded", "docker")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def mode() -> str:
    """Return `namespace` inside a namespace made here, else `processes`."""
    return "namespace" if os.environ.get(_MARK) == "namespace" else "processes"


def tier() -> str:
    """Return what the parts of a stack are here: `docker` inside a namespace made for it, else `embedded`."""
    return os.environ.get(_TIER, TIERS[0]) if mode() == "namespace" else TIERS[0]


def described() -> str:
    """Return in one phrase what a rehearsal runs on here, for its score."""
    return "containers" if tier() == "docker" else mode()


def _unshare(command: Sequence[str], tier: str = TIERS[0]) -> list[str]:
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if tier == "docker":
        # An engine mounts and makes devices: that takes the machine's own root.
        return ["unshare", *flags, "--", *command]
    # PostgreSQL refuses uid 0, so root becomes an ordinary user that still owns root's files.
    who = ["--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else ["--map-current-user"]
    return ["unshare", "--user", *flags, "--keep-caps", *who, "--", *command]


@cache
def available() -> bool:
    """Whether this kernel lets us make the namespaces."""
    if mode() == "namespace" or not shutil.which("unshare"):
        return False
    probe = [sys.executable, "-S", "-c", "import socket"]
    return subprocess.run(_unshare(probe), capture_output=True, check=False).returncode == 0


def run(command: Sequence[str], tier: str = TIERS[0]) -> int:
    """Run `command` isolated as well as this machine can, and return its exit status.

    Where namespaces are not available the command runs as it is. It dies with this process either way;
    SIGTERM is passed on to it. tier: see TIERS; raises StandInError where `docker` cannot be had.
    """
    inside = [sys.executable, "-m", "runbook.rehearsal", "inside", "--", *command]
    if tier == "docker":
        engine_view.require()
        os.environ[_TIER] = tier
        with engine_view.control_group():
            return _run_and_forward(_unshare(inside, tier), first_child=True)
    if not available():
        return _run_and_forward(list(command), first_child=False)
    return _run_and_forward(_unshare(inside), first_child=True)


def _run_and_forward(command: list[str], *, first_child: bool) -> int:
    child = subprocess.Popen(command, preexec_fn=die_with_parent)  # noqa: PLW1509 - one system call

    def forward(signum: int, _frame: object) -> None:
        # unshare itself blocks the signal: it is meant for the process that it started.
        target = _first_child(child.pid) if first_child else child.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, signum)

    # Ctrl-C reaches the whole foreground group by itself.
    before = (signal.signal(signal.SIGTERM, forward), signal.signal(signal.SIGINT, signal.SIG_IGN))
    try:
        return _status(child.wait())
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


def _first_child(pid: int) -> int:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(listed[0]) if listed else pid


def _status(returncode: int) -> int:
    return returncode if returncode >= 0 else 128 - returncode


def be_init(command: Sequence[str]) -> int:
    """Be the first process of a namespace: bring loopback up, run `command`, collect every orphan's end."""
    loopback_up()
    environment = {**os.environ, _MARK: "namespace"}
    if environment.get(_TIER) == "docker":
        engine_view.make()
    # The uid inside has no entry in the password file, so nobody can look up its name or home.
    environment.setdefault("USER", "rehearsal")
    environment.setdefault("LOGNAME", environment["USER"])
    # Not waited for through this object: every end is collected below.
    child = subprocess.Popen(list(command), env=environment)
    signal.signal(signal.SIGTERM, lambda signum, _frame: child.send_signal(signum))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            return _status(os.waitstatus_to_exitcode(status))


def loopback_up() -> None:
    """Bring the loopback interface of this network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def mount_disk(folder: Path, size: int) -> None:
    """Mount a disk of `size` bytes (in memory) on `folder`; only possible inside a namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "stand-in", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StandInError(f"could not mount a disk of {size} bytes on {folder}: {done.stderr.strip()}")
