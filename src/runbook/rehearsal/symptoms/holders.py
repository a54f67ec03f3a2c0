"""Programs that hold something which the system needs: a lock in the database, or a service's port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

from runbook.rehearsal.processes import alive, start_lasting, wait_until
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import services
from runbook.rehearsal.symptoms.together import Action, all_of

_HELD = "held"


def lock(table: str) -> Action:
    """Return what locks a table against every writer, as a migration that hangs does; it can be read."""
    return lambda stack: _hold(stack, "locks", f"{table} IN SHARE ROW EXCLUSIVE MODE")


def lock_out(table: str) -> Action:
    """Return what locks a table against everybody, those who only read it, too."""
    return lambda stack: _hold(stack, "locks", f"{table} IN ACCESS EXCLUSIVE MODE")


def unlock(stack: Stack) -> None:
    """Let go of the locks."""
    _let_go(stack, "locks")


def take_port(name: str) -> Action:
    """Return what ends a service and gives its port to another program: it cannot come back."""

    def action(stack: Stack) -> None:
        _hold(stack, f"port-{name}", str(stack.facts["services"][name]["port"]))

    return all_of(services.kill(name), action)


def give_port_back(name: str) -> Action:
    """Return what ends the program that has the port of a service."""
    return lambda stack: _let_go(stack, f"port-{name}")


def _hold(stack: Stack, what: str, *arguments: str) -> None:
    """Start a program that holds `what` until it is ended, or the stand-in is gone."""
    command = [sys.executable, "-m", __name__, str(stack.path), what, *arguments]
    pid = start_lasting(command, stack.folder / f"{what}.log", says=_HELD)
    _pid_file(stack, what).write_text(str(pid))


def _let_go(stack: Stack, what: str) -> None:
    path = _pid_file(stack, what)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = int(path.read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), timeout=5, what=f"the end of what held {what}")
    path.unlink(missing_ok=True)


def _pid_file(stack: Stack, what: str) -> Path:
    return stack.folder / f"holder-{what}.pid"


def main(path: Path, what: str, argument: str) -> None:
    """Be the holder."""
    stack = Stack(path)
    held = _locked(stack, argument) if what == "locks" else _listening(int(argument))
    sys.stdout.write(_HELD + "\n")
    sys.stdout.flush()
    with held:
        while path.exists():
            time.sleep(0.2)


def _listening(port: int) -> contextlib.AbstractContextManager[object]:
    # It answers nothing: whoever asks the service has to see that this is not it.
    return socket.create_server(("127.0.0.1", port))


def _locked(stack: Stack, how: str) -> contextlib.AbstractContextManager[object]:
    connection = stack.server().connect(stack.facts["postgres"]["database"])
    connection.cursor().execute(f"LOCK TABLE {how}")
    return contextlib.closing(connection)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
