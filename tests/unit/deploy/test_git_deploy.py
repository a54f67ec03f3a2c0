"""Another commit is deployed by the project's own script, and nothing that was in no commit is lost."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy import release
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.deploy import deploy, outcome, undo
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from deploy_world import World
from git_deployments import KEPT, RUN, refused, state, two


def test_the_plan_predicts_what_the_deployment_does(world: World) -> None:
    good, bad = two(world)
    before = state(world)
    plan = deploy(world.options(), check_mode=True)
    assert state(world) == before
    assert not (world.folder / "private").exists()
    done = deploy(world.options(), check_mode=False)
    assert (plan["changed"], plan["diff"], plan["sha"]) == (done["changed"], done["diff"], good)
    assert plan["prediction"]["takes_out"] == [f"{bad[:12]} Break it"]
    assert world.live == good
    assert world.git("rev-parse", "HEAD") == good
    assert world.git("rev-parse", "main") == bad, "no branch moves"
    assert done["undo"]["entry_point"] == "undo"
    (entry,) = world.ledger()
    assert (entry["sha"], entry["verified"], entry["by"]) == (good, True, RUN)
    assert "canary-of-the-script" not in str(done) + Path(done["evidence"][0]["path"]).read_text()


def test_again_changes_nothing(world: World) -> None:
    good, _bad = two(world)
    deploy(world.options(), check_mode=False)
    again = deploy(world.options(sha=good, run="second"), check_mode=False)
    assert not again["changed"]
    assert "undo" not in again


def test_what_runs_counts_not_what_is_checked_out(world: World) -> None:
    good, bad = two(world)
    world.git("checkout", "--quiet", "--detach", good)
    assert world.live == bad
    done = deploy(world.options(sha=good), check_mode=False)
    assert done["changed"]
    assert world.live == good
    # The checkout is what it was: there is nothing to deploy again.
    assert "undo" not in done
    assert outcome(world.options())["undo"] is None


def test_hot_fixes_are_kept_on_a_branch_and_as_a_patch_and_come_back(world: World) -> None:
    _good, bad = two(world)
    (world.app / "app.py").write_text("staged\n")
    world.git("add", "app.py")
    (world.app / "app.py").write_text("hot fix\n")
    (world.app / "new.py").unlink()
    (world.app / "by hand.sh").write_text("#!/bin/sh\n")
    (world.app / "secret.env").write_text("TOKEN=canary-ignored\n")
    done = deploy(world.options(), check_mode=False)
    assert (world.app / "app.py").read_text() == "one\n"
    assert (world.app / "secret.env").read_text() == "TOKEN=canary-ignored\n", "an ignored file stays"
    assert world.git("show", f"{KEPT}:app.py") == "hot fix"
    assert world.git("show", f"{KEPT}^:app.py") == "staged"
    assert "new.py" not in world.git("ls-tree", "--name-only", KEPT)
    assert "by hand.sh" in world.git("ls-tree", "--name-only", KEPT)
    patch = Path(done["evidence"][0]["path"])
    assert stat.S_IMODE(patch.stat().st_mode) == 0o600
    assert hashlib.sha256(patch.read_bytes()).hexdigest() == done["evidence"][0]["sha256"]
    assert "+hot fix" in patch.read_text()
    back = undo(world.options(run="later", receipt=done["undo"]["args"]), check_mode=False)
    assert back["changed"]
    assert world.live == bad
    assert world.git("symbolic-ref", "--short", "HEAD") == "main"
    assert (world.app / "app.py").read_text() == "hot fix\n"
    assert not (world.app / "new.py").exists()
    assert world.git("status", "--porcelain").splitlines() == ["M app.py", " D new.py", '?? "by hand.sh"']


def test_the_patch_alone_brings_the_hot_fixes_back(world: World) -> None:
    two(world)
    (world.app / "app.py").write_text("hot fix\n")
    (world.app / "bytes.bin").write_bytes(bytes(range(256)))
    done = deploy(world.options(), check_mode=False)
    world.git("checkout", "--quiet", "--force", "main")
    (world.app / "bytes.bin").unlink()
    world.git("apply", done["evidence"][0]["path"])
    assert (world.app / "app.py").read_text() == "hot fix\n"
    assert (world.app / "bytes.bin").read_bytes() == bytes(range(256))


def test_a_file_that_git_was_told_to_look_away_from_is_kept(world: World) -> None:
    two(world)
    world.git("update-index", "--assume-unchanged", "app.py")
    (world.app / "app.py").write_text("edited on the server\n")
    assert world.git("status", "--porcelain") == ""
    done = deploy(world.options(), check_mode=False)
    assert world.git("show", f"{KEPT}:app.py") == "edited on the server"
    assert (world.app / "app.py").read_text() == "one\n"
    undo(world.options(run="later", receipt=done["undo"]["args"]), check_mode=False)
    assert (world.app / "app.py").read_text() == "edited on the server\n"
    assert world.git("ls-files", "-v", "app.py").startswith("h ")


def test_uncommitted_files_can_be_a_reason_to_refuse(world: World) -> None:
    two(world)
    (world.app / "app.py").write_text("hot fix\n")
    before = state(world)
    error = refused(world, uncommitted="refuse")
    assert error.kind == "uncommitted"
    assert "app.py" in error.message
    assert state(world) == before


def test_an_ignored_file_in_the_way_is_never_overwritten(world: World) -> None:
    old = world.commit("With settings", {"secret.env": "x", ".gitignore": ""}, deploy=True)
    world.git("rm", "--quiet", "--cached", "secret.env")
    world.commit("Without", {".gitignore": "secret.env\n"}, deploy=True)
    (world.app / "secret.env").write_text("TOKEN=canary-settings\n")
    error = refused(world, sha=old)
    assert error.kind == "ignored_in_the_way"
    assert "secret.env" in error.message
    assert (world.app / "secret.env").read_text() == "TOKEN=canary-settings\n"


def test_a_detached_checkout_is_taken_and_given_back_detached(world: World) -> None:
    good, bad = two(world)
    world.git("checkout", "--quiet", "--detach", bad)
    done = deploy(world.options(sha=good), check_mode=False)
    assert done["before"]["branch"] == ""
    undo(world.options(run="later", receipt=done["undo"]["args"]), check_mode=False)
    assert world.git("rev-parse", "HEAD") == bad
    assert (
        subprocess.run(["git", "-C", str(world.app), "symbolic-ref", "-q", "HEAD"], check=False).returncode
        == 1
    )


def test_a_verified_deployment_is_preferred_to_the_newest(world: World) -> None:
    good, _bad = two(world)
    (world.folder / "ledger.jsonl").write_text(
        f'{{"sha": "{good}", "at": 1, "by": "x", "path": "{world.app}", "verified": true}}\n'
        f'{{"sha": "{good}", "at": 2, "by": "x", "path": "/other", "verified": true}}\n{{"sha": \n'
    )
    world.commit("Worse", {"app.py": "three\n"}, deploy=True)
    plan = deploy(world.options(), check_mode=True)
    assert (plan["sha"], plan["verified_before"]) == (good, True)


def test_an_undo_is_refused_when_somebody_deployed_since(world: World) -> None:
    good, _bad = two(world)
    done = deploy(world.options(sha=good), check_mode=False)
    world.git("checkout", "--quiet", "main")
    world.commit("Since", {"app.py": "three\n"}, deploy=True)
    with pytest.raises(OncallError) as caught:
        undo(world.options(run="later", receipt=done["undo"]["args"]), check_mode=False)
    assert caught.value.kind == "deployed_since"


def test_an_undo_twice_changes_nothing(world: World) -> None:
    good, bad = two(world)
    (world.app / "app.py").write_text("hot fix\n")
    args = deploy(world.options(sha=good), check_mode=False)["undo"]["args"]
    assert undo(world.options(run="later", receipt=args), check_mode=False)["changed"]
    assert not undo(world.options(run="again", receipt=args), check_mode=False)["changed"]
    assert world.live == bad


def test_the_host_knows_what_became_of_a_run(world: World) -> None:
    good, _bad = two(world)
    assert outcome(world.options())["state"] == "not_done"
    done = deploy(world.options(sha=good), check_mode=False)
    known = outcome(world.options())
    assert known["state"] == "done"
    assert known["undo"] == done["undo"]


def test_a_deployment_that_was_cut_off_is_gone_on_with_not_another_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = world.git("rev-parse", "HEAD")
    good = world.commit("Good", {"app.py": "two\n"}, deploy=True)
    bad = world.commit("Bad", {"app.py": "three\n"}, deploy=True)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(f"{release.__name__}.run_script", killed)
        with pytest.raises(KeyboardInterrupt):
            deploy(world.options(), check_mode=False)
    assert outcome(world.options())["state"] == "half"
    (world.folder / "live").unlink()
    again = deploy(world.options(run="resumed"), check_mode=True)
    assert (again["sha"], RUN in again["why"]) == (good, True), (older, bad)
    (world.folder / "live").write_text(bad)
    done = deploy(world.options(run="resumed"), check_mode=False)
    assert (done["sha"], world.live) == (good, good)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for another user")
def test_root_works_as_the_owner_of_the_checkout(world: World) -> None:
    two(world)
    for folder in (world.folder, *world.folder.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    subprocess.run(["chown", "-R", "nobody:nogroup", str(world.folder)], check=True)
    (world.app / "app.py").write_text("hot fix\n")
    done = deploy(world.options(), check_mode=False)
    assert (world.folder / "live").stat().st_uid == world.app.stat().st_uid
    strangers = [path for path in world.app.rglob("*") if path.lstat().st_uid != world.app.stat().st_uid]
    assert strangers == [world.app / "app.py"] or strangers == []
    assert Path(done["evidence"][0]["path"]).stat().st_uid == 0
