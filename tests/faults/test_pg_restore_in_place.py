"""A restore in place: only confirmed, and only with a safety copy that was read back."""

from __future__ import annotations

import pytest
from restoring import Restoring

from runbook.rehearsal.fault_proxy import S3FaultProxy


def test_in_place_with_its_safety_copy_and_back(restoring: Restoring) -> None:
    good = restoring.digest()
    restoring.backup()
    restoring.fill("DELETE FROM orders; CREATE TABLE newer AS SELECT 1 AS one")
    damaged = restoring.digest()
    sure = {"in_place": True, "confirm_in_place": restoring.database}
    planned = restoring.run("--check", "--diff", **sure)
    assert restoring.digest() == damaged
    done = restoring.run(**sure)
    assert done["changed"], done
    assert done["diff"] == planned["diff"]
    assert restoring.digest() == good
    assert restoring.others() == []
    assert done["safety_copy"]["key"] == "daily/safety/run-1.dump"
    back = restoring.run(**done["undo"]["args"])
    assert back["changed"], back
    assert restoring.digest() == damaged


@pytest.mark.parametrize("times", [1, 0])
def test_without_a_safety_copy_nothing_is_dropped(restoring: Restoring, times: int) -> None:
    restoring.backup()
    restoring.fill("DELETE FROM orders")
    live = restoring.digest()
    sure = {"in_place": True, "confirm_in_place": restoring.database}
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        proxy.rules.add("status", method="PUT", times=times)
        said = restoring.run(endpoint_url=proxy.url, **sure)
    if times:  # one refusal is lived through
        assert said["changed"], said
        return
    assert said["error"]["kind"] == "safety_copy", said
    assert restoring.digest() == live
    uploads = restoring.s3.client().list_multipart_uploads(Bucket=restoring.bucket)
    assert uploads.get("Uploads", []) == []
