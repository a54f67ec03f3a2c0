"""Backups and decoys as small as they can be and still look real from the outside."""

from __future__ import annotations

import gzip
import random
from datetime import UTC, datetime, timedelta

PATTERN = r"roost_prod-(?P<timestamp>\d{8}T\d{6}Z)\.sql\.gz"
FORMAT = "%Y%m%dT%H%M%SZ"
END = b"--\n-- PostgreSQL database dump complete\n--\n\n"


def sql_dump(rows: int = 400, seed: int = 1) -> bytes:
    """A plain dump with some rows that do not compress to nothing."""
    source = random.Random(seed)
    lines = [f"{n}\t{source.getrandbits(128):032x}" for n in range(rows)]
    return (
        b"--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.13\n"
        b"-- Dumped by pg_dump version 15.13\n\nSET statement_timeout = 0;\n"
        b"CREATE TABLE public.t (id integer, v text);\nCOPY public.t (id, v) FROM stdin;\n"
        + "\n".join(lines).encode()
        + b"\n\\.\n\n"
        + END
    )


def gzip_dump(rows: int = 400, seed: int = 1) -> bytes:
    """The same, packed."""
    return gzip.compress(sql_dump(rows, seed), mtime=0)


EMPTY_GZIP = gzip.compress(b"", mtime=0)


def name(when: datetime, system: str = "roost_prod") -> str:
    """The key of the backup of that time."""
    return f"postgres/{system}-{when.astimezone(UTC).strftime(FORMAT)}.sql.gz"


def hours_ago(hours: float) -> datetime:
    """A time to the second, some hours before now."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours)
