"""Stand-ins that come up at the same time do not take each other's ports."""

from __future__ import annotations

import socket

import pytest

from runbook.rehearsal.processes import accepts_connections, free_port


def test_a_port_that_was_given_is_nobodys_by_chance_and_its_servers_at_once() -> None:
    port = free_port()
    assert not accepts_connections(port)
    # So the kernel judges whoever asks for any port: one that is held by somebody is passed over.
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.create_server((address, port)):
            assert accepts_connections(port)


def test_no_two_are_alike() -> None:
    assert len({free_port() for _ in range(50)}) == 50
