"""From a bucket to events: every format and compression through the one entry."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source import (
    Part,
    Settings,
    describe,
    open_source,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    DumpError,
    RefusedError,
    TruncatedError,
)
from nasty_dumps import dump, nasty_database, rows, tools

from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.s3_server import S3Server


@pytest.fixture
def put(s3: S3Server, bucket: str) -> Callable[[str, bytes], Part]:
    def upload(key: str, body: bytes) -> Part:
        answer = s3.client().put_object(Bucket=bucket, Key=key, Body=body)
        return Part(key, len(body), answer["ETag"])

    return upload


@pytest.fixture
def urls(s3: S3Server, bucket: str) -> Callable[[str, str], str]:
    client = s3.client()
    return lambda key, stale: str(
        client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=60)
    )


@pytest.mark.parametrize(
    ("options", "pack", "name", "form", "compression"),
    [
        ((), None, "a.sql", "plain", "none"),
        ((), gzip.compress, "a.sql.gz", "plain", "gzip"),
        ((), zstandard.compress, "a.sql.zst", "plain", "zstd"),
        (("-Fc",), None, "a.dump", "custom", "gzip"),
        (("-Ft",), None, "a.tar", "tar", "none"),
        (("-Ft",), gzip.compress, "a.tar.gz", "tar", "gzip"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_every_format_from_a_bucket(  # noqa: PLR0917 - fixtures and cases
    postgres: PostgresServer,
    put: Any,
    urls: Any,
    options: tuple[str, ...],
    pack: Any,
    name: str,
    form: str,
    compression: str,
) -> None:
    data = dump(postgres, *options)
    body = pack(data) if pack else data
    told: list[int] = []
    source = open_source([put(name, body)], urls, tools(postgres), on_bytes=told.append)
    header = source.header()
    events = list(source.events())
    assert (header.format, header.compression) == (form, compression)
    assert header.server_major == int(postgres.binaries.version.split(".")[0])
    assert set(header.extensions) == {"hstore", "pg_trgm"}
    assert "app.words" in header.tables
    assert len(rows(events)) == 15
    end = events[-1]
    assert isinstance(end, ev.End)
    assert (end.bytes_in, end.bytes_out) == (len(body), len(data))
    assert told[-1] == len(body)
    assert not source.warnings
    assert describe(body[: 1 << 19]).as_dict() == header.as_dict()


def test_a_directory_archive_under_a_prefix(
    postgres: PostgresServer, put: Any, urls: Any, server_folder: Any
) -> None:
    folder = server_folder / f"source-{postgres.binaries.label}"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    postgres.run("pg_dump", "-Fd", "-f", str(folder / "d"), database=nasty_database(postgres))
    parts = [put(f"backups/d/{path.name}", path.read_bytes()) for path in (folder / "d").iterdir()]
    source = open_source(parts, urls, tools(postgres))
    assert source.header().format == "directory"
    events = list(source.events())
    assert len(rows(events)) == 15
    assert isinstance(events[-1], ev.End)
    assert events[-1].bytes_in == source.size
    with pytest.raises(UsageError, match=r"toc\.dat"):
        list(open_source([*parts[:1], put("x", b"y")], urls).events())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", TruncatedError),
        (b"\0\1\2\3" * 500, RefusedError),
        (gzip.compress(b"SELECT 1;\n"), TruncatedError),
        (b"<html>not found</html>", TruncatedError),
        (gzip.compress(b"-- PostgreSQL database dump complete\n")[:-4], TruncatedError),
        (gzip.compress(b"-- PostgreSQL database dump complete\n") + b"tail", DumpError),
    ],
    ids=["empty", "rubbish", "no end marker", "web page", "cut gzip", "something behind it"],
)
def test_what_is_no_whole_dump_is_an_error(
    put: Any, urls: Any, body: bytes, error: type[OncallError]
) -> None:
    source = open_source([put("a.sql.gz", body)], urls)
    with pytest.raises(error):
        list(source.events())


def test_says_when_the_name_disagrees(put: Any, urls: Any) -> None:
    source = open_source([put("a.sql.gz", b"-- PostgreSQL database dump complete\n")], urls)
    assert isinstance(list(source.events())[-1], ev.End)
    assert "named like gzip" in source.warnings[0]


MEASURE = """
import resource, sys
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source import Part, open_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = 0
for event in open_source([Part(sys.argv[2], int(sys.argv[3]))], lambda key, stale: sys.argv[1]).events():
    rows += event.rows if type(event).__name__ == "CopyEnd" else 0
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_memory_is_bounded(put: Any, urls: Any) -> None:
    count = 120
    block = b"".join(b"%06d\tsome text that makes the row longer\n" % n for n in range(20000))
    body = (
        b"COPY public.t (a, b) FROM stdin;\n" + block * count + b"\\.\n-- PostgreSQL database dump complete\n"
    )
    part = put("big.sql", body)
    url = urls(part.key, "")
    command = [sys.executable, "-c", MEASURE, url, part.key, str(part.size)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    read, grown = map(int, done.stdout.split())
    assert read == count * 20000
    assert grown < 64, f"{grown} MiB for {part.size >> 20} MiB"


def test_close_ends_reading(put: Any, urls: Any) -> None:
    source = open_source([put("a.sql", b"x" * 100)], urls, settings=Settings())
    source.close()
    with pytest.raises(OncallError, match="cancelled"):
        list(source.events())
