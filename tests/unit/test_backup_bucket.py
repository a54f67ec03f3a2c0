"""A bucket changed by one backup: a name that is free, a seal, and a removal that is never too much."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_bucket import BackupBucket
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import find_backup
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_findings import findings_of
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import Rules
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog, S3Settings
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_upload import PresignedUpload
from backup_samples import FORMAT, PATTERN, gzip_dump, hours_ago, name

from runbook.rehearsal.s3_server import S3Server

NOW = datetime(2026, 11, 21, 6, 43, 2, tzinfo=UTC)
RUN = "run-1"


class Store:
    """A bucket with one older good backup, and the work on it."""

    def __init__(self, server: S3Server, bucket: str) -> None:
        self.client, self.name = server.client(), bucket
        settings = S3Settings(
            bucket=bucket,
            endpoint_url=server.endpoint,
            prefix="postgres/",
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
        options = {"pattern": PATTERN, "timestamp_format": FORMAT, "prefix": "postgres/"}
        self.bucket = BackupBucket(S3Catalog(settings), Rules.from_options(options))
        self.older = self.put(name(hours_ago(30)))

    def put(self, key: str, run: str = "") -> str:
        self.client.put_object(
            Bucket=self.name, Key=key, Body=gzip_dump(seed=3), Metadata={"run": run} if run else {}
        )
        return key

    def there(self) -> list[str]:
        return sorted(o["Key"] for o in self.client.list_objects_v2(Bucket=self.name).get("Contents", []))

    def etag(self, key: str) -> str:
        return self.bucket.catalog.head(key).etag


@pytest.fixture
def store(s3: S3Server, bucket: str) -> Store:
    return Store(s3, bucket)


def _template() -> str:
    """The samples' own names, with their time left open."""
    return name(NOW).rpartition("/")[2].replace(NOW.strftime(FORMAT), "{timestamp}")


def test_a_name_is_one_that_a_restore_finds_and_that_is_free(store: Store) -> None:
    key = store.bucket.key_for(_template(), NOW)
    assert key == name(NOW)
    store.put(key)
    with pytest.raises(ConflictError, match="of this name already"):
        store.bucket.key_for(_template(), NOW)


@pytest.mark.parametrize("template", ["other-{timestamp}.dump", "without a time", "{timestamp}"])
def test_a_name_that_no_restore_would_find_is_refused(store: Store, template: str) -> None:
    with pytest.raises(UsageError, match="so no restore would find it"):
        store.bucket.key_for(template, NOW)


def test_an_object_that_came_meanwhile_is_not_written_over(store: Store) -> None:
    upload = PresignedUpload.begin(store.bucket.catalog, name(NOW), {"run": RUN})
    plain = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(upload.part_url(1, 60), data=b"ours", method="PUT", headers=plain)
    with urllib.request.urlopen(request) as answer:
        etag = str(answer.headers["ETag"])
    store.put(name(NOW), "another")
    theirs = store.etag(name(NOW))
    with pytest.raises(ConflictError, match="of this name already"):
        upload.complete({1: etag}, 4)
    upload.abort()
    store.bucket.discard(name(NOW), RUN)
    assert store.etag(name(NOW)) == theirs


def test_a_backup_counts_as_made_once_it_is_sealed(store: Store) -> None:
    key = store.put(name(hours_ago(0.1)), RUN)
    assert store.bucket.made_by(RUN) == {}
    assert store.bucket.unproved_by(RUN)["key"] == key
    assert store.bucket.unproved_by("another") == {}
    said = findings_of(find_backup(store.bucket.catalog, store.bucket.rules), 26)[0]
    assert (said["check"], said["status"], said["observed"]) == ("backup_newest", "warn", key)
    assert f"`runbook resume {RUN}` proves it" in said["summary"]
    store.bucket.seal(key, "0" * 64)
    assert store.bucket.made_by(RUN)["key"] == key
    assert store.bucket.unproved_by(RUN) == store.bucket.made_by("another") == {}
    found = find_backup(store.bucket.catalog, store.bucket.rules)
    assert findings_of(found, 26)[0]["status"] == "ok"
    assert found.checksum is not None
    assert found.checksum.value == "0" * 64


def test_exactly_the_object_that_was_made_is_removed(store: Store) -> None:
    key = store.put(name(hours_ago(0.1)), RUN)
    store.bucket.seal(key, "0" * 64)
    etag = store.etag(key)
    for changes in ({"etag": "another"}, {"run": "another"}):
        with pytest.raises(ConflictError, match="is not the object that run"):
            store.bucket.remove(**{"key": key, "etag": etag, "run": RUN, **changes}, check_mode=False)
    planned = store.bucket.remove(key, etag, RUN, check_mode=True)
    assert planned["changed"]
    assert key in store.there()
    assert store.bucket.remove(key, etag, RUN, check_mode=False)["diff"] == planned["diff"]
    assert store.there() == [store.older]
    assert not store.bucket.remove(key, etag, RUN, check_mode=False)["changed"]


def test_the_only_good_backup_stays(store: Store) -> None:
    key = store.put(name(hours_ago(0.1)), RUN)
    store.client.put_object(Bucket=store.name, Key=store.older, Body=b"rubbish of some length")
    for check_mode in (True, False):
        with pytest.raises(ConflictError, match="it is the only good backup"):
            store.bucket.remove(key, store.etag(key), RUN, check_mode=check_mode)
    assert key in store.there()
