"""Every way in which an object store says no, or says what is no answer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import find_backup
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog, S3Settings
from s3_bucket import Bucket, rules, settings_of

from runbook.rehearsal.processes import free_port
from runbook.rehearsal.s3_server import S3Server


@pytest.fixture
def store(any_s3: S3Server, any_bucket: str) -> Bucket:
    return Bucket(any_s3, any_bucket)


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
