"""Objects come whole, in order and from one version, through every fault of the store."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.fetch import Fetcher, Part, Settings
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    CancelledError,
    ExpiredError,
    FetchError,
    ReplacedError,
    TruncatedError,
)

from runbook.rehearsal.fault_proxy import S3FaultProxy
from runbook.rehearsal.s3_server import S3Server

CONTENT = hashlib.shake_256(b"seed").digest(300_001)
QUICK = Settings(range_size=40_000, ahead=3, stall_timeout=0.5, attempts=4, backoff=0.01)


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[S3FaultProxy]:
    with S3FaultProxy(s3.endpoint) as running:
        yield running


@pytest.fixture
def part(s3: S3Server, bucket: str) -> Part:
    answer = s3.client().put_object(Bucket=bucket, Key="dump.gz", Body=CONTENT)
    return Part("dump.gz", len(CONTENT), answer["ETag"])


@pytest.fixture
def urls(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> Callable[[str, str], str]:
    return signer(s3, bucket, proxy, 60)


def signer(s3: S3Server, bucket: str, proxy: S3FaultProxy, expires: int) -> Callable[[str, str], str]:
    client = s3.client()

    def sign(key: str, stale: str) -> str:
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires
        )
        return url.replace(s3.endpoint, proxy.url)

    return sign


def read(part: Part, urls: Any, settings: Settings = QUICK) -> bytes:
    return b"".join(Fetcher(part, urls, settings))


def test_reads_ranges_in_order(part: Part, urls: Any, proxy: S3FaultProxy) -> None:
    told: list[int] = []
    fetcher = Fetcher(part, urls, QUICK, told.append)
    assert b"".join(fetcher) == CONTENT
    assert fetcher.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert sum(told) == fetcher.bytes == len(CONTENT)
    assert proxy.rules.counters.requests == 8
    assert proxy.rules.counters.connections <= 3


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cut", "after_bytes": 1000, "times": 5},
        {"kind": "reset", "after_bytes": 17_000, "times": 5},
        {"kind": "reset", "after_bytes": 0, "times": 2},
        {"kind": "stall", "after_bytes": 1000, "times": 2},
        {"kind": "status", "status": 503, "times": 3, "retry_after": 0.05},
        {"kind": "status", "status": 500, "code": "InternalError", "times": 3},
        {"kind": "status", "status": 429, "code": "TooManyRequests", "times": 3},
    ],
    ids=lambda f: f"{f['kind']}-{f.get('status', f.get('after_bytes'))}",
)
def test_comes_through_passing_faults(
    part: Part, urls: Any, proxy: S3FaultProxy, fault: dict[str, Any]
) -> None:
    rule = proxy.rules.add(skip=1, **fault)
    assert read(part, urls) == CONTENT
    assert rule.struck == fault["times"]
    assert proxy.rules.counters.bytes_down < len(CONTENT) * 1.6, "only what is missing is read again"


def test_waits_as_long_as_the_store_asks(part: Part, urls: Any, proxy: S3FaultProxy) -> None:
    proxy.rules.add("status", retry_after=1)
    start = time.monotonic()
    assert read(part, urls) == CONTENT
    assert time.monotonic() - start >= 1


def test_gives_up_naming_what_came_back(part: Part, urls: Any, proxy: S3FaultProxy) -> None:
    proxy.rules.add("status", times=0)
    with pytest.raises(FetchError, match="503 SlowDown") as error:
        read(part, urls)
    assert "X-Amz" not in str(error.value)
    proxy.rules.clear()
    proxy.refuse()
    with pytest.raises(FetchError, match="ConnectionRefused"):
        read(part, urls)


@pytest.mark.parametrize("etag", [True, False], ids=["with ETag", "by size alone"])
def test_an_object_replaced_midway_is_an_error(  # noqa: PLR0917 - fixtures and cases
    s3: S3Server, bucket: str, part: Part, urls: Any, proxy: S3FaultProxy, etag: bool
) -> None:
    def replace() -> None:
        s3.client().put_object(Bucket=bucket, Key="dump.gz", Body=CONTENT[::-1] + b"x")

    proxy.rules.add("hook", hook=replace, skip=4)
    with pytest.raises(ReplacedError, match="replaced while it was read"):
        read(part if etag else Part(part.key, part.size), urls)


def test_an_expired_url_is_renewed(
    s3: S3Server, bucket: str, part: Part, urls: Any, proxy: S3FaultProxy
) -> None:
    short, asked = signer(s3, bucket, proxy, 1), []

    def renewing(key: str, stale: str) -> str:
        asked.append(stale)
        if not stale:
            url = short(key, stale)
            time.sleep(1.2)
            return url
        return str(urls(key, stale))

    assert read(part, renewing) == CONTENT
    assert any(asked)
    assert proxy.rules.counters.statuses[403] >= 1


def test_urls_that_are_always_expired_end_it(
    part: Part, s3: S3Server, bucket: str, proxy: S3FaultProxy
) -> None:
    short = signer(s3, bucket, proxy, 1)
    old = short("dump.gz", "")
    time.sleep(1.2)
    with pytest.raises(ExpiredError, match="clock"):
        read(part, lambda key, stale: old)


def test_says_what_is_denied_and_what_is_gone(
    s3: S3Server, bucket: str, part: Part, urls: Any, proxy: S3FaultProxy
) -> None:
    proxy.rules.add("status", status=403, code="AccessDenied")
    with pytest.raises(DeniedError, match="AccessDenied"):
        read(part, urls)
    s3.client().delete_object(Bucket=bucket, Key="dump.gz")
    with pytest.raises(FetchError, match="gone"):
        read(Part("dump.gz", len(CONTENT)), urls)


def test_checksums_of_store_and_manifest(part: Part, urls: Any, proxy: S3FaultProxy) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    assert read(Part(part.key, part.size, part.etag, sha256=right), urls) == CONTENT
    with pytest.raises(TruncatedError, match="SHA-256"):
        read(Part(part.key, part.size, part.etag, sha256="0" * 64), urls)
    with pytest.raises(TruncatedError, match="MD5"):
        read(Part(part.key, part.size, md5="0" * 32), urls)
    proxy.rules.add("corrupt", after_bytes=1000)
    with pytest.raises(TruncatedError, match="MD5"):
        read(part, urls)


def test_a_size_that_is_not_the_objects_is_an_error(part: Part, urls: Any) -> None:
    for size in (part.size - 1, part.size + 1):
        with pytest.raises(OncallError):
            read(Part(part.key, size, part.etag), urls)


def test_memory_is_bounded_while_the_reader_waits(part: Part, urls: Any, proxy: S3FaultProxy) -> None:
    blocks = iter(Fetcher(part, urls, QUICK))
    next(blocks)
    time.sleep(0.3)
    assert proxy.rules.counters.requests <= QUICK.ahead
    assert b"".join(blocks)


def test_cancel_ends_a_stalled_read(part: Part, urls: Any, proxy: S3FaultProxy) -> None:
    proxy.rules.add("stall", times=0)
    fetcher = Fetcher(part, urls, Settings(stall_timeout=30))
    threading.Timer(0.2, fetcher.cancel).start()
    start = time.monotonic()
    with pytest.raises(CancelledError):
        b"".join(fetcher)
    assert time.monotonic() - start < 15  # not the 30 s after which it would call it stalled


def test_ranges_come_from_every_store(any_s3: S3Server, any_bucket: str) -> None:
    client = any_s3.client()
    answer = client.put_object(Bucket=any_bucket, Key="dump.gz", Body=CONTENT)
    url = client.generate_presigned_url("get_object", Params={"Bucket": any_bucket, "Key": "dump.gz"})
    assert read(Part("dump.gz", len(CONTENT), answer["ETag"]), lambda key, stale: url) == CONTENT
