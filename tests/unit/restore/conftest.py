"""What the tests of a detached job restore into."""

from __future__ import annotations

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from hand_made import login_of

from runbook.rehearsal.postgres_server import PostgresServer


@pytest.fixture
def options(postgres: PostgresServer, database: str) -> RestoreOptions:
    """Options of a restore, and a live database with a table that the dump lacks and one that it has."""
    postgres.execute("CREATE TABLE precious AS SELECT generate_series(1, 100) AS id", database=database)
    postgres.execute("CREATE TABLE t (id bigint, name text)", database=database)
    login = login_of(postgres, application_name="oncall-run-1")
    return RestoreOptions(database, "run-1", login, key="daily/x.sql.gz", etag="e1", lease=5)
