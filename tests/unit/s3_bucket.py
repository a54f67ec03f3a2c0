"""A bucket that a test fills, and how its backups are told from the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import Rules
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog, S3Settings
from backup_samples import FORMAT, PATTERN

from runbook.rehearsal.s3_server import S3Server


def settings_of(server: S3Server, bucket: str, **changes: str) -> S3Settings:
    made = S3Settings(
        bucket=bucket,
        endpoint_url=server.endpoint,
        prefix="postgres/",
        access_key=server.access_key,
        secret_key=server.secret_key,
    )
    return dataclasses.replace(made, **changes)


def rules(**changes: str) -> Rules:
    return Rules.from_options(
        {"pattern": PATTERN, "timestamp_format": FORMAT, "prefix": "postgres/", **changes}
    )


class Bucket:
    """A bucket with what a test puts into it."""

    def __init__(self, server: S3Server, bucket: str) -> None:
        self.server, self.name, self.client = server, bucket, server.client()
        self.catalog = S3Catalog(settings_of(server, bucket))

    def put(self, key: str, content: bytes, **more: Any) -> str:
        self.client.put_object(Bucket=self.name, Key=key, Body=content, **more)
        return key
