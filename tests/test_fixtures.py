"""The fixtures themselves: real servers that answer."""

from __future__ import annotations

from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.s3_server import S3Server


def test_postgres_answers_on_its_own_database(postgres: PostgresServer, database: str) -> None:
    assert postgres.execute("SELECT current_database()", database=database) == [(database,)]


def test_s3_returns_what_was_put(s3: S3Server, bucket: str) -> None:
    s3.client().put_object(Bucket=bucket, Key="k", Body=b"content")
    assert s3.client().get_object(Bucket=bucket, Key="k")["Body"].read() == b"content"
