"""A database of about 1 GB with text, jsonb, indexes and foreign keys, and its dumps; made once and kept."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from runbook.rehearsal.postgres_server import PostgresBinaries, PostgresServer, choose_binaries
from runbook.rehearsal.s3_server import S3Server

NAME = "bench"
BUCKET = "bench-backups"
SCHEMA = (Path(__file__).parent / "dataset.sql").read_text()
ROWS = 4_000_000


@dataclass(frozen=True)
class Dumps:
    """The dump files of the dataset; keys in the bucket are the file names."""

    plain: Path
    gzip: Path
    custom: Path


def server_in(folder: Path, binaries: PostgresBinaries | None = None) -> PostgresServer:
    """A cluster with the server's own defaults (fsync on): what is measured is what production does."""
    server = PostgresServer(
        binaries or choose_binaries(),
        folder,
        settings={"fsync": "on", "max_wal_size": "1GB", "listen_addresses": "127.0.0.1"},
    )
    server.create()
    server.start()
    return server


def prepare(cache: Path, server: PostgresServer, rows: int = ROWS) -> Dumps:
    """Fill the server's database `bench` and make its dumps, or take the dumps of an earlier time."""
    tag = hashlib.sha256(f"{SCHEMA}{rows}{server.binaries.version}".encode()).hexdigest()[:12]
    folder = cache / tag
    dumps = Dumps(folder / "bench.sql", folder / "bench.sql.gz", folder / "bench.dump")
    if not dumps.custom.exists():
        partial = cache / f"{tag}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        server.execute(f"CREATE DATABASE {NAME}")
        server.execute(SCHEMA.replace("{n}", str(rows)), database=NAME)
        with (partial / "bench.sql").open("wb") as out:
            out.write(server.run("pg_dump", NAME).stdout)
        with (partial / "bench.sql.gz").open("wb") as out:
            out.write(server.run("pg_dump", "-Z6", NAME).stdout)
        with (partial / "bench.dump").open("wb") as out:
            out.write(server.run("pg_dump", "-Fc", NAME).stdout)
        server.execute(f"DROP DATABASE {NAME}")
        partial.rename(folder)
    return dumps


def upload(s3: S3Server, dumps: Dumps) -> None:
    """Put the compressed dumps into the bucket under names that carry a timestamp."""
    client = s3.client()
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "auto"})
    for path, suffix in ((dumps.gzip, "sql.gz"), (dumps.custom, "dump")):
        client.put_object(
            Bucket=BUCKET, Key=f"{suffix}/bench-2026-11-20T03-00-00Z.{suffix}", Body=path.read_bytes()
        )
