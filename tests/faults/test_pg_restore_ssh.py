"""A whole restore over real SSH, and what is left when its controller dies in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from restoring import Restoring

from runbook.rehearsal.fault_proxy import S3FaultProxy
from runbook.rehearsal.ssh_server import SshServer


@pytest.fixture
def over_ssh(restoring: Restoring, ssh_host: SshServer) -> Restoring:
    restoring.host = {
        **ssh_host.ansible_variables(),
        "ansible_remote_tmp": str(restoring.folder / "remote"),
        # A folder of its own: jobs that other tests start at the same time are not this one's to see.
        "job_environment": {"TMPDIR": str(restoring.folder)},
    }
    return restoring


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def jobs(restoring: Restoring) -> list[Path]:
    """Return the private folders of its jobs on the target, which is this machine."""
    return list(restoring.folder.glob("oncall-restore-*"))


def test_restore_and_undo_over_ssh(over_ssh: Restoring) -> None:
    restoring = over_ssh
    good = restoring.digest()
    restoring.backup()
    restoring.server.execute("DELETE FROM orders", database=restoring.database)
    damaged = restoring.digest()
    done = restoring.run()
    assert done["changed"], done
    assert restoring.digest() == good
    assert restoring.run(**done["undo"]["args"])["changed"]
    assert restoring.digest() == damaged
    assert restoring.sessions() == 0
    assert jobs(restoring) == []


def test_a_killed_controller_leaves_nothing_on_the_target(over_ssh: Restoring) -> None:
    restoring = over_ssh
    restoring.fill("CREATE TABLE big AS SELECT i, repeat(md5(i::text), 9) t FROM generate_series(1, 60000) i")
    restoring.backup()
    live = restoring.digest()
    lease = 2
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        proxy.rules.add("slow", path=r"\.gz", method="GET", rate=150_000, times=0, skip=2)
        process = restoring.start(endpoint_url=proxy.url, lease=lease)
        try:
            assert within(40, lambda: restoring.others() != [] and restoring.sessions() > 1)
            made = jobs(restoring)
            for pid in _tree(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.communicate(timeout=10)
            # The lease, and a moment to drop what was made.
            assert within(lease + 30, lambda: restoring.others() == [] and restoring.sessions() == 0)
        finally:
            process.kill()
    assert restoring.digest() == live
    assert made
    assert within(30, lambda: not jobs(restoring))


def _tree(pid: int) -> list[int]:
    """Return a process and everything below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in map(int, below) for found in _tree(child))]
