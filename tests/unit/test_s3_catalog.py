"""The bucket as the controller sees it, on real S3 servers."""

from __future__ import annotations

import gzip
import hashlib
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_finder import find_backup
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_catalog import S3Catalog
from ansible_collections.oncall.runbooks.plugins.module_utils.s3_upload import PresignedUpload
from backup_samples import EMPTY_GZIP, FORMAT, gzip_dump, hours_ago, name
from s3_bucket import Bucket, rules, settings_of

from runbook.rehearsal.fault_proxy import S3FaultProxy
from runbook.rehearsal.s3_server import S3Server


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
