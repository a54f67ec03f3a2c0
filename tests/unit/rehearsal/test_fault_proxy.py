"""The fault proxies do to real traffic what they are told, and nothing else."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import psycopg2
import pytest

from runbook.rehearsal.fault_proxy import S3FaultProxy, TcpFaultProxy
from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.processes import wait_until
from runbook.rehearsal.s3_server import S3Server

CONTENT = bytes(range(256)) * 1024


@pytest.fixture
def proxy(s3: S3Server, bucket: str) -> Iterator[S3FaultProxy]:
    s3.client().put_object(Bucket=bucket, Key="dump.gz", Body=CONTENT)
    with S3FaultProxy(s3.endpoint) as running:
        yield running


def url(s3: S3Server, bucket: str, proxy: S3FaultProxy, expires: int = 60) -> str:
    signed: str = s3.client().generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "dump.gz"}, ExpiresIn=expires
    )
    return signed.replace(s3.endpoint, proxy.url)


def get(address: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=5) as answer:
        body: bytes = answer.read()
        return body


def test_traffic_passes_whole_without_faults(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> None:
    assert get(url(s3, bucket, proxy)) == CONTENT
    assert get(url(s3, bucket, proxy), Range="bytes=10-19") == CONTENT[10:20]
    assert proxy.rules.counters.requests == 2
    # The proxy counts after it has sent: the client may be ahead of it.
    wait_until(lambda: proxy.rules.counters.bytes_down >= len(CONTENT) + 10, timeout=10, what="the count")
    assert proxy.rules.counters.bytes_down == len(CONTENT) + 10
    assert proxy.rules.counters.log[1][2:] == ("bytes=10-19", 206)


@pytest.mark.parametrize(
    ("kind", "seen"), [("cut", http.client.IncompleteRead), ("reset", ConnectionResetError)]
)
def test_ends_the_answer_after_n_bytes(
    s3: S3Server, bucket: str, proxy: S3FaultProxy, kind: str, seen: type[Exception]
) -> None:
    fault = proxy.rules.add(kind, path=r"dump\.gz", after_bytes=1000)
    with pytest.raises(seen):
        get(url(s3, bucket, proxy))
    assert fault.struck == 1
    assert get(url(s3, bucket, proxy)) == CONTENT, "only the first request is struck"


def test_stalls_and_slows(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> None:
    proxy.rules.add("stall", after_bytes=10)
    with pytest.raises(TimeoutError), urllib.request.urlopen(url(s3, bucket, proxy), timeout=0.3) as answer:
        answer.read()
    proxy.rules.clear()
    proxy.rules.add("slow", rate=len(CONTENT) * 2, times=0)
    start = time.monotonic()
    assert get(url(s3, bucket, proxy)) == CONTENT
    assert 0.3 < time.monotonic() - start < 20


def test_answers_slow_down_for_some_requests(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> None:
    proxy.rules.add("status", status=503, retry_after=2, skip=1, times=1)
    assert get(url(s3, bucket, proxy)) == CONTENT
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(url(s3, bucket, proxy))
    assert refused.value.code == 503
    assert refused.value.headers["Retry-After"] == "2"
    assert b"<Code>SlowDown</Code>" in refused.value.read()
    assert get(url(s3, bucket, proxy)) == CONTENT


def test_refuses_presigned_urls_that_are_over(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> None:
    short = url(s3, bucket, proxy, expires=1)
    assert get(short) == CONTENT
    time.sleep(1.2)
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(short)
    assert refused.value.code == 403
    assert b"Request has expired" in refused.value.read()


def test_replaces_the_object_midway_and_passes_412(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> None:
    etag = s3.client().head_object(Bucket=bucket, Key="dump.gz")["ETag"]

    def replace() -> None:
        s3.client().put_object(Bucket=bucket, Key="dump.gz", Body=b"other")

    proxy.rules.add("hook", hook=replace, skip=1)
    assert get(url(s3, bucket, proxy), **{"If-Match": etag}) == CONTENT
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(url(s3, bucket, proxy), **{"If-Match": etag})
    assert refused.value.code == 412


def test_corrupts_one_byte(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> None:
    proxy.rules.add("corrupt", after_bytes=100)
    got = get(url(s3, bucket, proxy))
    assert [i for i, (a, b) in enumerate(zip(got, CONTENT, strict=True)) if a != b] == [100]


def test_refuses_and_accepts_again(s3: S3Server, bucket: str, proxy: S3FaultProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=1)
    proxy.accept_again()
    assert get(url(s3, bucket, proxy)) == CONTENT


def _connect(proxy: TcpFaultProxy, postgres: PostgresServer) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host="127.0.0.1",
        port=proxy.port,
        user=postgres.superuser,
        password=postgres.password,
        dbname="postgres",
        connect_timeout=5,
    )


def test_tcp_proxy_cuts_a_session_midway(postgres: PostgresServer) -> None:
    with TcpFaultProxy(f"tcp://127.0.0.1:{postgres.port}") as proxy:
        proxy.rules.add("reset", after_bytes=50_000)
        connection = _connect(proxy, postgres)
        with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT repeat('x', 1000000)")
        second = _connect(proxy, postgres)
        with second.cursor() as cursor:
            cursor.execute("SELECT length(repeat('x', 1000000))")
            assert cursor.fetchone() == (1000000,)
        proxy.drop_all()
        with pytest.raises(psycopg2.OperationalError), second.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_runs_as_a_process_with_a_control_port(s3: S3Server, bucket: str) -> None:
    s3.client().put_object(Bucket=bucket, Key="dump.gz", Body=CONTENT)
    command = [sys.executable, "-m", "runbook.rehearsal.fault_proxy", s3.endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            where = json.loads(process.stdout.readline())
            address = f"http://127.0.0.1:{where['port']}/{bucket}/dump.gz"
            faults = json.dumps([{"kind": "status", "status": 500, "code": "InternalError"}]).encode()
            urllib.request.urlopen(where["control"], data=faults, timeout=5).close()
            with pytest.raises(urllib.error.HTTPError):
                get(address)
            counters = json.loads(get(where["control"]))
            assert counters["requests"] == 1
        finally:
            process.terminate()
