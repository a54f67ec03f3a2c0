"""Child processes of a stand-in: started on free ports, waited for, and always ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path


class StandInError(Exception):
    """A part of the stand-in could not be brought up; the message says which, why and what to do."""


def free_port() -> int:
    """Return a loopback TCP port that nothing listens on, and that for a minute nobody gets by chance.

    A connection that was closed on this side first holds its port that long: whoever asks for any port gets
    another one, while a server that asks for this one has it. Else stand-ins that come up at the same time
    would take each other's.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as client:
            listener.accept()[0].close()
            client.recv(1)  # the end has arrived, so it is this side that waits
    port: int = address[1]
    return port


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str, interval: float = 0.02) -> None:
    """Poll `condition` until it is true; raise StandInError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise StandInError(f"{what} did not come up within {timeout:g} s")
        time.sleep(interval)


def accepts_connections(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts TCP connections on `host:port`."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


@cache
def unprivileged_prefix() -> tuple[str, ...]:
    """Return the command prefix under which a server that refuses to run as root can run.

    As root, a user namespace without a mapping makes the uid look unprivileged while files stay
    reachable; where namespaces are forbidden, `setpriv` gives the uid of `nobody` instead.
    """
    if os.geteuid() != 0:
        return ()
    unshare = shutil.which("unshare")
    if (
        unshare
        and subprocess.run([unshare, "--user", "true"], capture_output=True, check=False).returncode == 0
    ):
        return (unshare, "--user")
    setpriv = shutil.which("setpriv")
    if setpriv:
        return (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")
    raise StandInError(
        "PostgreSQL refuses to run as root, and neither `unshare --user` nor `setpriv` works here. "
        "Run the rehearsal as an ordinary user, or install the package util-linux."
    )


def alive(pid: int) -> bool:
    """Whether process `pid` lives; one that has ended and only waits to be collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def own(*paths: Path) -> None:
    """Give files to the user that `unprivileged_prefix` switches to; nothing to do where it keeps the uid."""
    if "setpriv" in "".join(unprivileged_prefix()[:1]):
        for path in paths:
            os.chown(path, 65534, 65534)


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(sig: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `sig` to this process when the one that started it dies, however it dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, sig, 0, 0, 0)


def start_lasting(command: Sequence[str], log: Path, *, says: str = "") -> int:
    """Start a program that goes on after this process and return its pid, once its first line is `says`.

    What it complains of goes to `log`: who reads our output to its end must not have to wait for the program.
    Raises StandInError when its first line is another.
    """
    with log.open("ab") as complaints:
        program = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if says else subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
        )
    if program.stdout is not None and program.stdout.readline().strip().decode() != says:
        program.kill()
        raise StandInError(
            f"{' '.join(command[-3:])} did not begin: {log.read_text(errors='replace')[-600:]}"
        )
    return program.pid


class Process:
    """One child process with its own process group and a log file; it dies with this process."""

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        self._env = dict(env) if env is not None else None
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        if self._popen is None:
            raise StandInError(f"{self.command[0]} was not started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the child; its output goes to the log file."""
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no locks
            )

    def ready(self, condition: Callable[[], bool], *, timeout: float) -> None:
        """Wait until `condition` holds; a child that ends meanwhile fails at once, with its last output."""

        def ready_or_dead() -> bool:
            if not self.running:
                raise StandInError(f"{' '.join(self.command[:3])} ended at once: {self.tail()}")
            return condition()

        wait_until(ready_or_dead, timeout=timeout, what=f"{self.command[0]} ({self.tail()})")

    def tail(self, size: int = 600) -> str:
        """Return the last output of the child."""
        if not self.log.exists():
            return "no output"
        return self.log.read_text(errors="replace")[-size:].strip() or "no output"

    def stop(self, sig: signal.Signals = signal.SIGTERM, *, timeout: float = 10) -> None:
        """End the child with `sig`, then with SIGKILL for its whole group after `timeout` seconds."""
        if self._popen is None:
            return
        if self._popen.poll() is None:
            self._popen.send_signal(sig)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._popen.pid, signal.SIGKILL)
                self._popen.wait(timeout)
        self._popen = None


@contextlib.contextmanager
def started(process: Process, ready: Callable[[], bool], *, timeout: float = 20) -> Iterator[Process]:
    """Run `process` for the length of a `with` block, ready when `ready` says so."""
    process.start()
    try:
        process.ready(ready, timeout=timeout)
        yield process
    finally:
        process.stop()
