"""What every test of a restore starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
from restoring import Restoring

from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.s3_server import S3Server


@pytest.fixture
def restoring(
    postgres: PostgresServer, database: str, s3: S3Server, bucket: str, tmp_path: Path
) -> Restoring:
    """A filled live database and an empty bucket."""
    made = Restoring(postgres, s3, bucket, database, tmp_path)
    made.fill()
    return made
