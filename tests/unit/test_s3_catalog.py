"""The bucket as the controller sees it: real S3 servers, and every way in which one says no."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import find_backup
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import Rules
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog, S3Settings
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_upload import PresignedUpload
from backup_samples import EMPTY_GZIP, FORMAT, PATTERN, gzip_dump, hours_ago, name

from runbook.rehearsal.fault_proxy import S3FaultProxy
from runbook.rehearsal.processes import free_port
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


@pytest.fixture
def store(any_s3: S3Server, any_bucket: str) -> Bucket:
    return Bucket(any_s3, any_bucket)


def kinds(bucket: Bucket, **changes: str) -> dict[str, str]:
    return {r.key: r.kind for r in find_backup(bucket.catalog, rules(**changes)).selection.rejected}


def test_every_decoy_is_turned_down_for_its_own_reason(store: Bucket) -> None:
    good = store.put(name(hours_ago(30)), gzip_dump(seed=1))
    best = store.put(name(hours_ago(10)), gzip_dump(seed=2))
    empty = store.put(name(hours_ago(2)), EMPTY_GZIP)
    cut = store.put(name(hours_ago(3)), gzip_dump(seed=3)[:-3000])
    marker = store.put("postgres/LATEST", best.encode())
    foreign = store.put(name(hours_ago(1), system="rolerabbit"), gzip_dump(seed=4))
    reuploaded = store.put(name(hours_ago(24 * 40)), gzip_dump(seed=5))
    upload = store.client.create_multipart_upload(Bucket=store.name, Key=name(hours_ago(0.1)))

    found = find_backup(store.catalog, rules())

    assert found.require().key == best
    assert [c.key for c in found.selection.good] == [reuploaded, good, best]
    assert "copied there later" in found.selection.good[0].notes[0]
    assert {r.key: r.kind for r in found.selection.rejected} == {
        empty: "trend",
        cut: "content",
        marker: "pattern",
        foreign: "pattern",
        upload["Key"]: "unfinished",
    }
    assert "20 B" in next(r.reason for r in found.selection.rejected if r.key == empty)


def test_a_listing_of_many_pages_is_read_to_its_end(store: Bucket) -> None:
    newest = store.put(name(hours_ago(1)), gzip_dump())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.put(name(hours_ago(1 + number)), b"x"), range(1, 1004)))
    listed = {o.key for o in store.catalog.objects()}
    assert len(listed) == 1004
    assert newest in listed


def test_nothing_there_is_an_error_that_says_where(store: Bucket) -> None:
    with pytest.raises(OncallError, match=r"find a backup.*postgres/.*none of the 0 objects") as caught:
        find_backup(store.catalog, rules()).require()
    assert caught.value.kind == "no_backup"


def test_only_broken_backups_are_named(store: Bucket) -> None:
    key = store.put(name(hours_ago(1)), EMPTY_GZIP)
    with pytest.raises(OncallError, match="gzip file of nothing") as caught:
        find_backup(store.catalog, rules()).require()
    assert key in caught.value.message


def test_an_explicit_key_wins_and_is_warned_about(store: Bucket) -> None:
    store.put(name(hours_ago(5)), gzip_dump())
    empty = store.put(name(hours_ago(1)), EMPTY_GZIP)
    found = find_backup(store.catalog, rules(key=empty))
    assert found.require().key == empty
    assert any("less than half" in w for w in found.all_warnings)
    assert any("gzip file of nothing" in w for w in found.all_warnings)


@pytest.mark.parametrize(
    ("key", "got"), [("postgres/none.sql.gz", "no such object"), ("postgres/zero.sql.gz", "not match")]
)
def test_an_explicit_key_that_cannot_be_read_is_an_error(store: Bucket, key: str, got: str) -> None:
    newest = store.put(name(hours_ago(5)), gzip_dump())
    store.put("postgres/zero.sql.gz", b"")
    if key.endswith("zero.sql.gz"):
        found = find_backup(store.catalog, rules(key=key))
        assert any(got in w for w in found.all_warnings)
    else:
        with pytest.raises(OncallError, match=got) as caught:
            find_backup(store.catalog, rules(key=key))
        assert newest in caught.value.next_step


def test_the_checksum_beside_the_backup_is_read(store: Bucket) -> None:
    content = gzip_dump()
    key = store.put(name(hours_ago(5)), content)
    digest = hashlib.sha256(content).hexdigest()
    store.put(key + ".sha256", f"{digest}  {key.rpartition('/')[2]}\n".encode())
    found = find_backup(store.catalog, rules())
    assert found.checksum is not None
    assert (found.checksum.value, found.checksum.source) == (digest, key + ".sha256")
    assert found.selection.rejected == ()


def test_the_checksum_in_the_metadata_is_read(store: Bucket) -> None:
    content = gzip_dump()
    digest = hashlib.sha256(content).hexdigest()
    store.put(name(hours_ago(5)), content, Metadata={"SHA256": digest.upper()})
    checksum = find_backup(store.catalog, rules()).checksum
    assert checksum is not None
    assert checksum.value == digest


def test_a_manifest_with_another_size_turns_the_backup_down(store: Bucket) -> None:
    older = store.put(name(hours_ago(30)), gzip_dump(seed=1))
    key = store.put(name(hours_ago(5)), gzip_dump(seed=2))
    entry = {"name": key.rpartition("/")[2], "sha256": "0" * 64, "size": 1}
    store.put("postgres/manifest.json", json.dumps({"files": [entry]}).encode())
    found = find_backup(store.catalog, rules())
    assert found.require().key == older
    assert {r.key: r.kind for r in found.selection.rejected} == {key: "checksum"}


def test_a_backup_of_many_files_is_one_candidate(store: Bucket) -> None:
    folder = f"postgres/roost-{hours_ago(3).strftime(FORMAT)}"
    for part, content in (("toc.dat", b"PGDMP\x01\x0f"), ("3001.dat.gz", gzip.compress(b"1\n"))):
        store.put(f"{folder}/{part}", content)
    store.put(f"postgres/roost-{hours_ago(1).strftime(FORMAT)}/3001.dat.gz", b"half an upload")
    found = find_backup(store.catalog, rules(pattern=r"roost-(?P<timestamp>\d{8}T\d{6}Z)"))
    assert found.require().key == folder + "/"
    assert found.require().directory
    assert len(found.require().parts) == 2
    assert [r.kind for r in found.selection.rejected] == ["incomplete"]


def test_reading_notices_that_the_object_was_replaced(store: Bucket) -> None:
    key = store.put("postgres/a.sql", b"first content")
    before = next(o for o in store.catalog.objects() if o.key == key)
    store.put(key, b"other content")
    with pytest.raises(OncallError, match="replaced") as caught:
        store.catalog.peek(before, 4, 4)
    assert caught.value.kind == "replaced"


def test_a_look_reads_the_head_and_the_tail(store: Bucket) -> None:
    key = store.put("postgres/a b+ü&%.sql", bytes(range(256)) * 10)
    stored = next(o for o in store.catalog.objects() if o.key == key)
    assert store.catalog.peek(stored, 5, 3) == (bytes(range(5)), bytes([253, 254, 255]))
    assert store.catalog.peek(stored, 9999, 2) == (bytes(range(256)) * 10, bytes([254, 255]))


def test_a_presigned_url_reads_a_range_and_expires(store: Bucket) -> None:
    key = store.put("postgres/a b+ü&%.sql", b"0123456789")
    url = store.catalog.presign(key, 60)
    request = urllib.request.Request(url, headers={"Range": "bytes=2-4"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Content-Range"] == "bytes 2-4/10"
        assert answer.read() == b"234"
    if store.server.checks_signatures:
        expired = store.catalog.presign(key, 0)
        with pytest.raises(urllib.error.HTTPError, match=r"40[03]"):
            urllib.request.urlopen(expired)


def test_a_bucket_that_is_not_there(any_s3: S3Server) -> None:
    with pytest.raises(OncallError, match="NoSuchBucket") as caught:
        S3Catalog(settings_of(any_s3, "no-such-bucket")).objects()
    assert caught.value.kind == "bucket_missing"


def test_a_wrong_secret_is_told_from_the_rest_and_not_shown(store: Bucket) -> None:
    if not store.server.checks_signatures:
        pytest.skip("this server takes any signature")
    catalog = S3Catalog(settings_of(store.server, store.name, secret_key="canary-wrong-secret"))
    with pytest.raises(OncallError) as caught:
        catalog.objects()
    assert caught.value.kind == "bad_credentials"
    assert "canary" not in str(caught.value)
    assert store.server.access_key not in str(caught.value)


def test_an_endpoint_where_nothing_listens() -> None:
    settings = S3Settings("b", f"http://127.0.0.1:{free_port()}", access_key="a", secret_key="canary-s")
    with pytest.raises(OncallError, match="list the backups") as caught:
        S3Catalog(settings).objects()
    assert caught.value.kind == "unreachable"
    assert "endpoint_url" in caught.value.next_step


@pytest.mark.parametrize(
    "url",
    [
        "https://.r2.cloudflarestorage.com",
        "https://None.r2.cloudflarestorage.com",
        "https://undefined.r2.cloudflarestorage.com",
        "https://${CLOUDFLARE_ACCOUNT_ID}.r2.cloudflarestorage.com",
        "https://<account id>.r2.cloudflarestorage.com",
        "https://a..b",
        "abc.r2.cloudflarestorage.com",
        "https://",
        "https://host:port",
    ],
)
def test_an_endpoint_that_was_never_filled_in_is_refused_before_any_request(url: str) -> None:
    with pytest.raises(OncallError, match="account id") as caught:
        S3Catalog(S3Settings("b", url))
    assert caught.value.kind == "endpoint"


def test_a_controller_without_boto3_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(OncallError, match="pip install boto3") as caught:
        S3Catalog(S3Settings("b", "http://127.0.0.1:1"))
    assert caught.value.kind == "missing_dependency"


def test_without_any_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(OncallError, match="access_key and secret_key") as caught:
        S3Catalog(S3Settings("b", "http://127.0.0.1:1")).objects()
    assert caught.value.kind == "no_credentials"
    with pytest.raises(OncallError, match="profile"):
        S3Catalog(S3Settings("b", "http://127.0.0.1:1", profile="none"))


def test_credentials_of_the_environment_are_used(store: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.server.secret_key)
    catalog = S3Catalog(settings_of(store.server, store.name, access_key="", secret_key=""))
    assert catalog.objects() == []


Answer = Callable[[str], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], str]]:
    """Start a server that gives the answers no real one can be brought to give; returns its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = answer(self.path)
                self.send_response_only(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


NOTHING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def fault(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (403, "AccessDenied", "Access Denied", "no_permission"),
        (403, "InvalidAccessKeyId", "no record of canary-key", "bad_credentials"),
        (400, "ExpiredToken", "The provided token has expired.", "expired_credentials"),
        (403, "RequestTimeTooSkewed", "too large", "clock_skew"),
        (400, "AccessDenied", "The difference between the request time and ours is large", "clock_skew"),
        (400, "AuthorizationHeaderMalformed", "expecting 'eu-west-1'", "region"),
        (503, "SlowDown", "Please reduce your request rate.", "busy"),
        (401, "Unauthorized", "Unauthorized", "bad_credentials"),
        (418, "Teapot", "short and stout", "failed"),
    ],
)
def test_each_refusal_has_its_own_meaning(
    answering: Callable[[Answer], str], status: int, code: str, message: str, kind: str
) -> None:
    asked: list[str] = []

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        asked.append(path)
        return status, {}, fault(code, message)

    settings = S3Settings("b", answering(answer), access_key="canary-key", secret_key="canary-secret")
    with pytest.raises(OncallError) as caught:
        S3Catalog(settings).objects()
    assert caught.value.kind == kind
    assert caught.value.next_step
    assert "canary" not in str(caught.value)
    assert len(asked) <= 3, "retries are bounded"


@pytest.mark.parametrize("page", [b"<html><p>Welcome<br></html>", b"<html><p>Welcome</p></html>", b"hello"])
@pytest.mark.parametrize("content_type", ["text/html", "text/plain"])
def test_something_that_is_no_s3(answering: Callable[[Answer], str], page: bytes, content_type: str) -> None:
    url = answering(lambda _path: (200, {"Content-Type": content_type}, page))
    with pytest.raises(OncallError, match="endpoint_url") as caught:
        S3Catalog(S3Settings("b", url, access_key="a", secret_key="s")).objects()
    assert caught.value.kind == "not_s3"


def test_a_listing_that_does_not_go_on_is_an_error_and_no_endless_loop(
    answering: Callable[[Answer], str],
) -> None:
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    url = answering(lambda _path: (200, {"Content-Type": "application/xml"}, page))
    with pytest.raises(OncallError, match="not where it goes on"):
        S3Catalog(S3Settings("b", url, access_key="a", secret_key="s")).objects()


def test_a_store_without_a_list_of_uploads_is_only_a_warning(answering: Callable[[Answer], str]) -> None:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        if "uploads" in path:
            return 501, {}, fault("NotImplemented", "not here")
        return 200, {"Date": format_datetime(datetime.now(UTC))}, NOTHING

    found = find_backup(
        S3Catalog(S3Settings("b", answering(answer), access_key="a", secret_key="s")), rules()
    )
    assert any("NotImplemented" in w for w in found.all_warnings)


def test_a_clock_that_is_off_is_said(answering: Callable[[Answer], str]) -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(minutes=12), usegmt=False)
    url = answering(lambda _path: (200, {"Date": ahead}, NOTHING))
    found = find_backup(S3Catalog(S3Settings("b", url, access_key="a", secret_key="s")), rules())
    assert any("clock is 1" in w for w in found.all_warnings)


def send(url: str, content: bytes) -> str:
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, data=content, method="PUT", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return str(answer.headers["ETag"])


def test_a_safety_copy_goes_up_in_parts_through_presigned_urls(store: Bucket) -> None:
    upload = PresignedUpload.begin(store.catalog, "safety/copy.dump", {"run": "r1"})
    parts = [b"a" * 5 * 1024 * 1024, b"the rest"]
    etags = {n: send(upload.part_url(n, 60), part) for n, part in enumerate(parts, 1)}
    assert not store.client.list_objects_v2(Bucket=store.name, Prefix="safety/").get("Contents")
    facts = upload.complete(etags, sum(map(len, parts)))
    assert (facts.size, facts.metadata["run"]) == (5 * 1024 * 1024 + 8, "r1")
    assert store.catalog.read("safety/copy.dump", facts.size - 8, facts.size - 1) == b"the rest"
    with pytest.raises(OncallError, match="of this name already"):
        PresignedUpload.begin(store.catalog, "safety/copy.dump", {})


def test_a_safety_copy_of_another_size_is_not_relied_on(store: Bucket) -> None:
    upload = PresignedUpload.begin(store.catalog, "safety/short.dump", {})
    etags = {1: send(upload.part_url(1, 60), b"short")}
    with pytest.raises(OncallError, match="holds 5 bytes, 9 were sent") as caught:
        upload.complete(etags, 9)
    assert caught.value.kind == "verification"


def test_a_safety_copy_without_all_its_parts_is_refused(store: Bucket) -> None:
    upload = PresignedUpload.begin(store.catalog, "safety/part.dump", {})
    etags = {2: send(upload.part_url(2, 60), b"second")}
    with pytest.raises(OncallError, match="parts are missing"):
        upload.complete(etags, 6)
    upload.abort()
    upload.abort()
    assert not store.client.list_objects_v2(Bucket=store.name, Prefix="safety/").get("Contents")
    assert [u.key for u in store.catalog.uploads()[0]] == []


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_an_answer_that_broke_off_is_asked_for_again_and_never_taken_for_the_whole(
    store: Bucket, kind: str
) -> None:
    content = b"0123456789" * 5000
    key = store.put("postgres/whole", content)
    with S3FaultProxy(store.server.endpoint) as proxy:
        near = S3Catalog(settings_of(store.server, store.name, endpoint_url=proxy.url))
        proxy.rules.add(kind, path="whole", after_bytes=20_000, times=2)
        assert near.read(key, 0, len(content) - 1) == content
        proxy.rules.add(kind, path="whole", after_bytes=20_000, times=0)
        with pytest.raises(OncallError, match=r"cut after \d+ of 50000 bytes"):
            near.read(key, 0, len(content) - 1)
