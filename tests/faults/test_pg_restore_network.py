"""A restore whose way to PostgreSQL breaks: cut, reset, slow, or taking nothing more."""

from __future__ import annotations

import time

import pytest
from restoring import Restoring

from runbook.rehearsal.fault_proxy import TcpFaultProxy

NOISE = (
    "CREATE TABLE noise AS SELECT i, md5(i::text) || md5((i + 1)::text) t FROM generate_series(1, 60000) i"
)


@pytest.fixture
def backed_up(restoring: Restoring) -> Restoring:
    """A live database whose backup is large enough to break in the middle."""
    restoring.fill(NOISE)
    restoring.backup()
    return restoring


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_broken_connection_is_an_error_and_leaves_nothing(backed_up: Restoring, kind: str) -> None:
    live = backed_up.digest()
    with TcpFaultProxy(f"tcp://127.0.0.1:{backed_up.server.port}") as proxy:
        # Only the sessions that load rows pass so many bytes.
        proxy.rules.add(kind, after_bytes=900_000, times=0)
        said = backed_up.run(login_port=proxy.port)
    backed_up.failed(said, "server_gone", live, "read the end of its log")
    assert backed_up.others() == []
    assert backed_up.sessions() == 0


def test_a_network_that_takes_nothing_more_ends_with_the_time_limit(backed_up: Restoring) -> None:
    live = backed_up.digest()
    began = time.monotonic()
    with TcpFaultProxy(f"tcp://127.0.0.1:{backed_up.server.port}") as proxy:
        proxy.rules.add("stall", after_bytes=900_000, times=0, seconds=120)
        said = backed_up.run(login_port=proxy.port, timeout=4)
    backed_up.failed(said, "timeout", live, "option timeout")
    assert time.monotonic() - began < 40
    assert backed_up.others() == []
    assert backed_up.sessions() == 0


def test_a_slow_connection_is_lived_through(backed_up: Restoring) -> None:
    good = backed_up.digest()
    backed_up.server.execute("DELETE FROM noise", database=backed_up.database)
    with TcpFaultProxy(f"tcp://127.0.0.1:{backed_up.server.port}") as proxy:
        fault = proxy.rules.add("slow", rate=4_000_000, times=0)
        done = backed_up.run(login_port=proxy.port)
        assert fault.struck
    assert done["changed"], done
    assert backed_up.digest() == good
