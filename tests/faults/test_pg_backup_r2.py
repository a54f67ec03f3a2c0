"""A backup by the real module: what it leaves in the bucket, what it refuses, and how it is taken back."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
import restoring as real
from restoring import Restoring

from runbook.rehearsal.fault_proxy import S3FaultProxy

pytestmark = pytest.mark.slow


class BackingUp(Restoring):
    """The module that makes backups, on the same servers."""

    def options(self, **more: Any) -> dict[str, Any]:
        """Return its options: those of a restore, with a name."""
        return super().options(**{"name": "app_{timestamp}.dump", "lock_wait": 1, **more})

    def there(self) -> list[str]:
        """Return every key of the bucket."""
        listed = self.s3.client().list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return sorted(item["Key"] for item in listed)

    def uploads(self) -> list[Any]:
        """Return the unfinished uploads of the bucket."""
        found: list[Any] = self.s3.client().list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return found


@pytest.fixture
def backing(restoring: Restoring, monkeypatch: pytest.MonkeyPatch) -> BackingUp:
    """A filled live database, and a bucket with one older backup."""
    monkeypatch.setattr(real, "PLAY", real.PLAY.replace("pg_restore_r2", "pg_backup_r2"))
    made = BackingUp(restoring.server, restoring.s3, restoring.bucket, restoring.database, restoring.folder)
    made.backup()
    return made


def test_a_backup_is_made_proved_and_taken_back(backing: BackingUp) -> None:
    before = backing.there()
    planned = backing.run("--check", "--diff")
    assert backing.there() == before
    assert planned["changed"]
    assert planned["outcome"]["state"] == "not_done"
    done = backing.run()
    assert done["diff"] == planned["diff"]
    key = done["backup"]["key"]
    assert re.fullmatch(r"daily/app_\d{8}T\d{6}Z\.dump", key)
    assert set(backing.there()) - set(before) == {key, key + ".sha256"}
    content = backing.s3.client().get_object(Bucket=backing.bucket, Key=key)["Body"].read()
    assert hashlib.sha256(content).hexdigest() == done["backup"]["sha256"]
    assert done["backup"]["rows"] == 9000
    again = backing.run("--check")
    assert not again["changed"]
    assert again["outcome"]["state"] == "done"
    gone = backing.run(state="removed", **done["undo"]["args"])
    assert gone["changed"], gone
    assert backing.there() == before
    assert not backing.run(state="removed", **done["undo"]["args"])["changed"]


def _left_unproved(backing: BackingUp) -> dict[str, Any]:
    """Leave what a run leaves that is killed between upload and seal, and return what is said of it."""
    key = backing.run()["backup"]["key"]
    backing.s3.client().delete_object(Bucket=backing.bucket, Key=key + ".sha256")
    said: dict[str, Any] = backing.run("--check")["outcome"]
    assert (said["state"], said["backup"]["key"]) == ("unproved", key)
    return said


def test_what_a_killed_run_uploaded_is_proved_by_the_next(backing: BackingUp) -> None:
    left = _left_unproved(backing)["backup"]
    before = backing.there()
    planned = backing.run("--check", "--diff", run="run-2", take_up=left)
    assert f"{left['key']}, which run run-1 uploaded, is read back" in planned["prediction"]["summary"]
    done = backing.run(run="run-2", take_up=left)
    assert done["diff"] == planned["diff"]
    assert done["backup"]["rows"] == 9000
    assert set(backing.there()) - set(before) == {left["key"] + ".sha256"}
    content = backing.s3.client().get_object(Bucket=backing.bucket, Key=left["key"])["Body"].read()
    assert hashlib.sha256(content).hexdigest() == done["backup"]["sha256"]
    assert backing.run("--check", run="run-1")["outcome"]["state"] == "done"
    assert backing.run(state="removed", **done["undo"]["args"])["changed"]
    assert set(before) - set(backing.there()) == {left["key"]}


def test_what_a_killed_run_uploaded_is_taken_back_by_its_name(backing: BackingUp) -> None:
    said = _left_unproved(backing)
    before = backing.there()
    assert backing.run(state="removed", **said["undo"]["args"])["changed"]
    assert set(before) - set(backing.there()) == {said["backup"]["key"]}


def test_what_was_uploaded_and_is_not_whole_does_not_stay(backing: BackingUp) -> None:
    key = _left_unproved(backing)["backup"]["key"]
    whole = backing.s3.client().get_object(Bucket=backing.bucket, Key=key)
    backing.s3.client().put_object(
        Bucket=backing.bucket, Key=key, Body=whole["Body"].read()[:-500], Metadata=whole["Metadata"]
    )
    said = backing.run(run="run-2", take_up=backing.run("--check")["outcome"]["backup"])
    assert said["error"]["kind"] == "dump_truncated", said
    assert said["left_unchanged"] is False
    assert key not in backing.there()


def test_what_is_not_proved_does_not_stay(backing: BackingUp) -> None:
    before = backing.there()
    with S3FaultProxy(backing.s3.endpoint) as proxy:
        proxy.rules.add("corrupt", method="GET", path=r"\.dump$", after_bytes=5000, times=0)
        said = backing.run(endpoint_url=proxy.url)
    assert said["failed"], said
    assert said["left_unchanged"] is True, said
    assert backing.there() == before
    assert backing.uploads() == []
    assert backing.sessions() == 0


def test_a_dump_that_fails_leaves_nothing(backing: BackingUp) -> None:
    before = backing.there()
    with backing.server.connect(backing.database) as holder:
        holder.autocommit = False
        holder.cursor().execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        said = backing.run()
    assert said["error"]["kind"] == "backup", said
    assert "somebody has locked a table" in said["msg"], said
    assert said["left_unchanged"] is True
    assert backing.there() == before
    assert backing.uploads() == []


def test_the_only_good_backup_is_not_removed(backing: BackingUp) -> None:
    done = backing.run()
    backing.s3.client().delete_object(Bucket=backing.bucket, Key="daily/app_20261120T030000Z.sql.gz")
    said = backing.run(state="removed", **done["undo"]["args"])
    assert said["error"]["kind"] == "only_backup", said
    assert done["backup"]["key"] in backing.there()


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"name": "other_{timestamp}.dump"}, "usage"),
        ({"name": "app_20261120T030000Z.dump"}, "usage"),
        ({"name": ""}, "usage"),
        ({"database": "no_such_database"}, "no_database"),
        ({"client_dir": "/nonexistent"}, "pg_dump_missing"),
        ({"state": "removed", "key": "daily/app_20261120T030000Z.sql.gz", "etag": "x"}, "conflict"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    backing: BackingUp, wrong: dict[str, Any], kind: str
) -> None:
    before = backing.there()
    said = backing.run(**wrong)
    assert said["error"]["kind"] == kind, said
    assert said["left_unchanged"] is True
    assert backing.there() == before
