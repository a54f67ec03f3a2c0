# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bucket of backups as the controller sees it: list, look into, presign. The only place that knows boto3.

Reading is repeated a bounded number of times by botocore; writing is not (see `s3_upload`).
"""

from __future__ import annotations

__metaclass__ = type

import contextlib
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import (
    StoredObject,
    UnfinishedUpload,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_errors import (
    check_bucket,
    check_endpoint,
    explain,
    not_s3,
    replaced,
)

CONNECT_TIMEOUT = 5  # seconds
READ_TIMEOUT = 20  # seconds
READ_ATTEMPTS = 3
_READ_AGAIN_AFTER = (0.1, 0.5)  # seconds before an answer that was cut is asked for again


@dataclass(frozen=True)
class S3Settings:
    """Where the bucket is and who we are there; empty credentials mean boto3's own search for them."""

    bucket: str
    endpoint_url: str = ""
    prefix: str = ""
    region: str = "auto"
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    profile: str = ""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "S3Settings":
        """Return the settings that a module's options state."""
        # boto3 gets plain strings: a tagged one of the task would end in its caches and signatures.
        return cls(**{name: str(options.get(name) or "") for name in cls.__dataclass_fields__})

    @property
    def secrets(self) -> Tuple[str, ...]:
        """What must never be shown."""
        return tuple(s for s in (self.access_key, self.secret_key, self.session_token) if s)


@dataclass(frozen=True)
class ObjectFacts:
    """What a HEAD request says of one object; names of `metadata` are in lower case.

    `sha256` is the digest of the whole object in hex where the store or the uploader recorded one.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime
    metadata: Dict[str, str]
    checksums: Dict[str, str]


class _CutError(OncallError):
    """An answer broke off: what came of it must not be taken for the whole."""

    def __init__(self, where: str, have: int, announced: int) -> None:
        super().__init__(
            "read the object",
            on=where,
            got="the store's answer was cut after %d of %d bytes" % (have, announced),
            next_step="see whether the way to the store is stable, then try again",
            kind="cut",
        )


class S3Catalog:
    """The objects of one bucket under one prefix. Every failure is an OncallError without a secret in it."""

    def __init__(self, settings: S3Settings) -> None:
        check_endpoint(settings.endpoint_url)
        check_bucket(settings.bucket)
        self.settings = settings
        self.server_time: Optional[datetime] = None
        with self._explained("connect to the object store", settings.endpoint_url or "Amazon S3"):
            self._client = make_client(settings, attempts=READ_ATTEMPTS)

    @property
    def place(self) -> str:
        """The bucket and prefix for messages: `bucket/prefix at endpoint`."""
        where = self.settings.endpoint_url or "Amazon S3"
        return "%s/%s at %s" % (self.settings.bucket, self.settings.prefix, where)

    def objects(self) -> List[StoredObject]:
        """Return every object under the prefix, all pages of the listing."""
        with self._explained("list the backups", self.place):
            pages = list(
                self._pages(self._client.list_objects_v2, {"ContinuationToken": "NextContinuationToken"})
            )
        if any("IsTruncated" not in page for page in pages):
            # A web page that happens to be well-formed would read as an empty bucket.
            raise not_s3("list the backups", self.place, "a listing without its beginning")
        return [
            StoredObject(o["Key"], o["Size"], _utc(o["LastModified"]), o.get("ETag", "").strip('"'))
            for page in pages
            for o in page.get("Contents", [])
        ]

    def uploads(self) -> Tuple[List[UnfinishedUpload], str]:
        """Return the unfinished multipart uploads, and why they are not known (empty when they are)."""
        try:
            with self._explained("list the unfinished uploads", self.place):
                found = [
                    UnfinishedUpload(u["Key"], _utc(u["Initiated"]), u["UploadId"])
                    for page in self._pages(
                        self._client.list_multipart_uploads,
                        {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"},
                    )
                    for u in page.get("Uploads", [])
                ]
        except OncallError as error:
            if error.kind == "no_uploads":
                return [], ""
            # Not every store offers this and not every key may: no backup is lost by not knowing.
            return [], error.message
        # Some stores ignore the prefix here.
        return [u for u in found if u.key.startswith(self.settings.prefix)], ""

    def head(self, key: str) -> ObjectFacts:
        """Return what the store says of `key` without reading it."""
        with self._explained("look at the object", self._object(key)):
            answer = self._client.head_object(Bucket=self.settings.bucket, Key=key, ChecksumMode="ENABLED")
        # A composite checksum (of the parts' checksums) says nothing about the bytes of the object.
        whole = answer.get("ChecksumType") != "COMPOSITE"
        return ObjectFacts(
            key,
            answer["ContentLength"],
            answer.get("ETag", "").strip('"'),
            _utc(answer["LastModified"]),
            {name.lower(): value for name, value in answer.get("Metadata", {}).items()},
            {
                name[len("Checksum") :].lower(): value
                for name, value in answer.items()
                if whole and name.startswith("Checksum") and name != "ChecksumType" and "-" not in value
            },
        )

    def read(self, key: str, first: int, last: int, etag: str = "") -> bytes:
        """Return the bytes `first`..`last` (inclusive) of `key`; fails when its ETag is no longer `etag`."""
        with self._explained("read the object", self._object(key)):
            for pause in _READ_AGAIN_AFTER:
                try:
                    return self._read_once(key, first, last, etag)
                except _CutError:  # botocore repeats a request, but not an answer that broke off midway
                    time.sleep(pause)
            return self._read_once(key, first, last, etag)

    def _read_once(self, key: str, first: int, last: int, etag: str) -> bytes:
        condition = {"IfMatch": '"%s"' % etag} if etag else {}
        answer = self._client.get_object(
            Bucket=self.settings.bucket, Key=key, Range="bytes=%d-%d" % (first, last), **condition
        )
        # Not every store honours If-Match, but every store says what it sends.
        if etag and answer.get("ETag", "").strip('"') != etag:
            raise replaced("read the object", self._object(key))
        announced = int(answer["ContentLength"])
        content = b""
        with contextlib.suppress(Exception):  # whatever broke off the answer: its length tells
            content = answer["Body"].read(last - first + 1)
        if len(content) < min(announced, last - first + 1):
            raise _CutError(self._object(key), len(content), announced)
        return content

    def peek(self, stored: StoredObject, head: int, tail: int) -> Tuple[bytes, bytes]:
        """Return the first `head` and the last `tail` bytes of an object (less where it is shorter)."""
        if stored.size == 0:
            return b"", b""
        if stored.size <= head:
            content = self.read(stored.key, 0, stored.size - 1, stored.etag)
            return content, content[-tail:]
        first = self.read(stored.key, 0, head - 1, stored.etag)
        return first, self.read(stored.key, max(0, stored.size - tail), stored.size - 1, stored.etag)

    def presign(self, key: str, expires: int) -> str:
        """Return a URL that reads `key` (any range of it) for `expires` seconds. It is a secret."""
        return self.presigned("get_object", {"Key": key}, expires)

    def presigned(self, method: str, parameters: Mapping[str, Any], expires: int) -> str:
        """Return a presigned URL of any S3 `method`; nothing is sent to the store."""
        with self._explained("sign a URL", self._object(str(parameters.get("Key", "")))):
            url: str = self._client.generate_presigned_url(
                method, Params={"Bucket": self.settings.bucket, **parameters}, ExpiresIn=expires
            )
        return url

    def _object(self, key: str) -> str:
        where = self.settings.endpoint_url or "Amazon S3"
        return "%s/%s at %s" % (self.settings.bucket, key, where)

    def _pages(
        self, call: Callable[..., Dict[str, Any]], markers: Mapping[str, str]
    ) -> Iterator[Dict[str, Any]]:
        """Yield all pages of a listing; `markers` maps each request parameter to its source in the answer."""
        following: Dict[str, Any] = {}
        while True:
            page = call(Bucket=self.settings.bucket, Prefix=self.settings.prefix, **following)
            self._note_time(page)
            yield page
            if not page.get("IsTruncated"):
                return
            before, following = following, {p: page[a] for p, a in markers.items() if page.get(a)}
            if not following or following == before:
                raise OncallError(
                    "list the backups",
                    on=self.place,
                    got="the store says that there is more, but not where it goes on",
                    next_step="narrow the prefix so that one page (1000 objects) holds the backups",
                )

    def _note_time(self, page: Mapping[str, Any]) -> None:
        stamp = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        with contextlib.suppress(TypeError, ValueError):
            self.server_time = _utc(parsedate_to_datetime(stamp))

    @contextlib.contextmanager
    def _explained(self, tried: str, on: str) -> Iterator[None]:
        try:
            yield
        except OncallError:
            raise
        except Exception as error:  # every class of botocore, urllib3 and the socket below
            raise explain(error, tried, on, self.settings.secrets) from None


def make_client(settings: S3Settings, *, attempts: int) -> Any:
    """Return a boto3 client for `settings` that tries each request `attempts` times at most."""
    try:
        import boto3  # noqa: PLC0415 - half a second of import, and only the controller has it
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise OncallError(
            "talk to the object store",
            got="the Python package boto3 is not installed on the controller (%s)" % error,
            next_step="install boto3 for the Python that runs Ansible: python3 -m pip install boto3",
            kind="missing_dependency",
        ) from error
    session = boto3.session.Session(
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        aws_session_token=settings.session_token or None,
        region_name=settings.region or None,
        profile_name=settings.profile or None,
    )
    return session.client(
        "s3",
        endpoint_url=settings.endpoint_url or None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": attempts},
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
            # Checksums that not every S3 API knows are neither sent nor demanded.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=timezone.utc) if when.tzinfo is None else when.astimezone(timezone.utc)
