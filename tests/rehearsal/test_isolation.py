"""The namespace wrapper: production's ports inside, nothing left outside, status and signals passed on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.rehearsal import isolation
from runbook.rehearsal.processes import alive, wait_until

needs_namespaces = pytest.mark.skipif(not isolation.available(), reason="no user namespaces on this machine")


def _isolated(*command: str, **options: object) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "runbook.rehearsal", "isolated", "--", *command]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def test_the_exit_status_comes_through() -> None:
    assert _isolated(sys.executable, "-c", "raise SystemExit(7)").wait(20) == 7


@needs_namespaces
def test_it_has_its_own_loopback_and_is_no_root() -> None:
    program = (
        "import os, socket\n"
        "s = socket.create_server(('127.0.0.1', 5432)); socket.create_connection(('127.0.0.1', 5432))\n"
        "print(os.getuid() != 0, len([p for p in os.listdir('/proc') if p.isdigit()]))"
    )
    first, second = _isolated(sys.executable, "-c", program), _isolated(sys.executable, "-c", program)
    assert first.communicate(timeout=20)[0] == second.communicate(timeout=20)[0] == b"True 2\n"


@needs_namespaces
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_it(sig: signal.Signals) -> None:
    # A daemon that has left its parent, its group and its session.
    program = (
        "import os, time, sys\n"
        "if os.fork(): time.sleep(60)\n"
        "os.setsid()\nif os.fork(): os._exit(0)\n"
        "print(os.readlink('/proc/self/ns/pid'), flush=True)\ntime.sleep(60)"
    )
    driver = _isolated(sys.executable, "-c", program)
    assert driver.stdout is not None
    namespace = driver.stdout.readline().decode().strip()
    inside = _members(namespace)
    assert len(inside) >= 3
    driver.send_signal(sig)
    driver.wait(20)
    wait_until(lambda: not any(map(alive, inside)), timeout=5, what="the end of the namespace")


def _members(namespace: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "ns" / "pid").readlink()) == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@needs_namespaces
def test_a_disk_can_be_filled_and_healed_inside(tmp_path: Path) -> None:
    script = (
        "from runbook.rehearsal import stack, cases, outside\n"
        "with stack.running(stack.Options(scale=0.2)) as made:\n"
        "    assert made.facts['postgres']['port'] == 5432 and made.facts['s3']['port'] == 9000\n"
        "    assert outside.service_error(made) == ''\n"
        "    cases.find_fault('disk-full', 'roost').run('fault', made)\n"
        "    assert 'No space left on device' in outside.service_error(made)\n"
        "    cases.find_fault('disk-full', 'roost').run('heal', made)\n"
        "    assert outside.service_error(made) == ''\n"
        "    print('done')\n"
    )
    driver = _isolated(sys.executable, "-c", script)
    assert driver.communicate(timeout=60)[0] == b"done\n"
