"""What a server says of a restore whose end nobody saw: never got there, in service, taken back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import outcome
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from restoring import Restoring


def _look(restoring: Restoring, run: str = "run-1", wait: float = 5.0, **more: Any) -> dict[str, Any]:
    options = RestoreOptions.from_params(restoring.options(run=run, **more))
    return outcome.look(options, wait, time.monotonic, time.sleep)


@pytest.mark.slow
def test_the_server_knows_what_a_restore_did(restoring: Restoring) -> None:
    restoring.backup()
    before = _look(restoring)
    assert before["outcome"]["state"] == "not_done"
    assert before["databases"] == []
    done = restoring.run()
    assert done["changed"], done
    said = _look(restoring)
    assert said["outcome"]["state"] == "done"
    # Exactly what the restore itself would have recorded.
    assert said["outcome"]["undo"] == done["undo"]
    assert _look(restoring, run="another-run")["outcome"]["state"] == "not_done"
    assert restoring.run(**said["outcome"]["undo"]["args"])["changed"]
    assert _look(restoring)["outcome"]["state"] == "undone"


def test_what_waits_beside_is_not_in_service(restoring: Restoring) -> None:
    restoring.backup()
    done = restoring.run(switch=False)
    assert done["changed"]
    assert done["data_loss"]["summary"].startswith("nothing as long as it stays beside")
    said = _look(restoring)
    # Nothing of it is in service, and whoever takes the run back wants it gone.
    assert said["outcome"]["state"] == "left_beside"
    assert "is whole, a restore of the same backup takes it up" in said["outcome"]["summary"]
    assert [d["name"] for d in said["databases"]] == said["beside"] == restoring.others()
    # For whoever wanted no more than that it is done, and taken back by dropping it.
    assert _look(restoring, switch=False)["outcome"] == {
        **said["outcome"],
        "state": "done",
        "undo": done["undo"],
    }
    assert said["outcome"]["undo"] == done["undo"]
    assert restoring.run(**done["undo"]["args"])["changed"]
    assert restoring.others() == []
    assert _look(restoring)["outcome"] == {**_look(restoring)["outcome"], "state": "not_done", "undo": None}


def test_what_is_half_made_is_dropped_by_whoever_takes_it_back(restoring: Restoring) -> None:
    restoring.backup()
    assert restoring.run(checks=[{"name": "never", "sql": "SELECT false"}], keep_failed=True)["failed"]
    said = _look(restoring, switch=False)["outcome"]
    assert (said["state"], restoring.others()) == (
        "left_beside",
        [d["name"] for d in _look(restoring)["databases"]],
    )
    assert restoring.run(**said["undo"]["args"])["changed"]
    assert restoring.others() == []


def test_a_restore_that_still_works_is_not_judged(restoring: Restoring) -> None:
    login = RestoreOptions.from_params(restoring.options(run="run-1")).login
    working = login.connect()
    try:
        with pytest.raises(ConflictError, match="1 of its sessions still work there"):
            _look(restoring, wait=0.5)
    finally:
        working.close()
    assert _look(restoring)["sessions"] == 0
