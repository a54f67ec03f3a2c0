"""The words for a server that cannot be connected to."""

from __future__ import annotations

from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import connection_error


def test_lines_of_libpq_become_one_sentence() -> None:
    said = "connection failed: Connection refused\n\tIs the server running on that host?\n"
    message = connection_error(Exception(said), "127.0.0.1:1").message
    assert "Connection refused: Is the server running on that host. Next: " in message
