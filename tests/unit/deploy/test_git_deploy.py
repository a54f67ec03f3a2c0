"""Another commit is deployed by the project's own script, and nothing that was in no commit is lost."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy import aside, release
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.deploy import deploy, outcome, undo
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from deploy_world import IDENTITY, World

from runbook.rehearsal.processes import alive, wait_until

RUN = "20261121t064300z-7f3a9c"
KEPT = f"oncall/kept-{RUN}"


def two(world: World) -> tuple[str, str]:
    """Make a second deployment; return the good commit and the bad one, which is live."""
    good = world.git("rev-parse", "HEAD")
    bad = world.commit("Break it", {"app.py": "two\n", "new.py": "new\n"}, deploy=True)
    return good, bad


def refused(world: World, **options: Any) -> OncallError:
    """Deploy, and return the error."""
    with pytest.raises(OncallError) as caught:
        deploy(world.options(**options), check_mode=False)
    return caught.value


def state(world: World) -> dict[str, str]:
    """Everything that a refusal must not touch."""
    files = {
        str(path.relative_to(world.app)): path.read_text()
        for path in sorted(world.app.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }
    refs = world.git("for-each-ref", "--format=%(refname) %(objectname)")
    return {**files, "HEAD": world.git("rev-parse", "HEAD"), "refs": refs, "live": world.live}


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
    assert deploy(world.options(sha=good), check_mode=False)["changed"]
    assert world.live == good


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


def test_an_unknown_commit_is_refused(world: World) -> None:
    before = state(world)
    for asked in ("0123456789", "feedc0ffee" * 4, "--hard", "main; rm -rf /", "no-such-tag"):
        error = refused(world, sha=asked)
        assert error.kind == "unknown_sha"
        assert "git log --oneline" in error.message
    assert state(world) == before


def test_a_tag_and_a_short_id_are_good_names(world: World) -> None:
    good, _bad = two(world)
    world.git("tag", "-a", "v1", "-m", "v1", good)
    assert deploy(world.options(sha="v1"), check_mode=True)["sha"] == good
    assert deploy(world.options(sha=good[:10].upper()), check_mode=True)["sha"] == good


def test_an_abbreviation_of_two_commits_is_refused_and_both_are_named(world: World) -> None:
    tree = world.git("rev-parse", "HEAD^{tree}")
    seen: dict[str, str] = {}
    for number in range(1, 4000):
        sha = world.git("commit-tree", tree, "-m", f"Number {number}")
        if sha[:4] in seen and seen[sha[:4]] != sha:
            break
        seen[sha[:4]] = sha
    error = refused(world, sha=sha[:4])
    assert error.kind == "ambiguous_sha"
    assert sha[:12] in error.message
    assert seen[sha[:4]][:12] in error.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ops/deploy.sh": None}, "has no such file"),
        ({"ops/deploy.sh": "#!/bin/sh\n"}, "cannot be executed"),
    ],
)
def test_a_commit_without_a_script_is_refused(world: World, change: dict[str, str | None], says: str) -> None:
    script = world.app / "ops" / "deploy.sh"
    kept = script.read_text()
    if change["ops/deploy.sh"] is not None:
        script.chmod(0o644)
    bare = world.commit("No script", change)
    script.parent.mkdir(exist_ok=True)
    script.write_text(kept)
    script.chmod(0o755)
    world.commit("With script", {"app.py": "three\n"}, deploy=True)
    before = state(world)
    error = refused(world, sha=bare)
    assert error.kind == "no_deploy_script"
    assert says in error.message
    assert state(world) == before


def test_a_script_that_fails_is_told_and_what_was_there_is_deployed_again(world: World) -> None:
    good = world.commit("Cannot be deployed", {"broken": "yes"}, deploy=True)
    bad = world.commit("Live", {"broken": None, "app.py": "two\n"}, deploy=True)
    (world.app / "app.py").write_text("hot fix\n")
    error = refused(world, sha=good)
    assert error.kind == "deploy_script"
    assert "exit code 7" in error.message
    assert "no space left on device" in error.message
    assert "was deployed again" in error.message
    assert "canary-of-the-script" not in error.message
    assert not error.changed
    assert world.live == bad
    assert world.git("symbolic-ref", "--short", "HEAD") == "main"
    assert (world.app / "app.py").read_text() == "hot fix\n"
    assert world.ledger() == []


def test_when_what_was_there_cannot_be_deployed_either_both_are_told_with_an_undo(world: World) -> None:
    good = world.commit("Cannot be deployed", {"broken": "yes"}, deploy=True)
    world.commit("Neither", {"app.py": "two\n"}, deploy=True)
    error = refused(world, sha=good)
    assert error.changed
    assert error.undo is not None
    assert error.undo["args"]["target"] == good
    assert error.message.count("exit code 7") == 2


def test_a_script_that_hangs_is_ended_with_all_its_processes(world: World) -> None:
    two(world)
    script = f"#!/bin/sh\necho pulling; sleep 300 & echo $! > {world.folder}/pid; wait\n"
    hanging = world.commit("Hang", {"ops/deploy.sh": script})
    world.commit("Live", {"ops/deploy.sh": "#!/bin/sh\ngit rev-parse HEAD > ../live\n"}, deploy=True)
    started = time.monotonic()
    error = refused(world, sha=hanging, script_timeout=1.0)
    assert time.monotonic() - started < 10
    assert "had not ended after 1 s" in error.message
    assert "pulling" in error.message
    pid = int((world.folder / "pid").read_text())
    wait_until(lambda: not alive(pid), timeout=5, what="the end of the script's child")


@pytest.mark.parametrize(
    "pull", ["git merge --quiet --ff-only main", "git reset --quiet --hard main", "git checkout --quiet main"]
)
def test_a_script_that_pulls_is_detected(world: World, pull: str) -> None:
    good = world.commit(
        "Pulls", {"ops/deploy.sh": f"#!/bin/sh\n{pull}\ngit rev-parse HEAD > ../live\n"}, deploy=True
    )
    bad = world.commit("Bad", {"app.py": "two\n"}, deploy=True)
    error = refused(world, sha=good)
    assert error.kind == "head_moved"
    assert bad[:12] in error.message
    assert world.git("symbolic-ref", "--short", "HEAD") == "main"
    assert world.git("rev-parse", "main") == bad


def test_a_checkout_in_the_middle_of_something_is_left_alone(world: World) -> None:
    good, _bad = two(world)
    world.git("checkout", "--quiet", "-b", "other", good)
    world.commit("Other", {"app.py": "other\n"})
    merge = subprocess.run(
        ["git", "-C", str(world.app), *IDENTITY, "merge", "main"], capture_output=True, check=False
    )
    assert merge.returncode != 0
    before = state(world)
    error = refused(world, sha=good)
    assert error.kind == "checkout_busy"
    assert "merge" in error.message
    assert state(world) == before


def test_another_git_that_works_there_is_left_alone(world: World) -> None:
    good, _bad = two(world)
    (world.app / ".git" / "index.lock").touch()
    assert refused(world, sha=good).kind == "checkout_busy"


def test_a_commit_that_does_not_serve_is_taken_back(world: World) -> None:
    good, bad = two(world)
    nobody = {
        "url": "http://127.0.0.1:9/readyz",
        "status": [200],
        "json": None,
        "contains": "",
        "timeout": 0.2,
    }
    error = refused(world, sha=good, ready=[nobody])
    assert error.kind == "not_ready"
    assert "refused" in error.message
    assert world.live == bad


def test_no_folder_and_no_repository_are_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for path in ("nowhere", "plain"):
        error = refused(world, path=str(tmp_path / path))
        assert error.kind == "no_checkout"
        assert str(tmp_path / path) in error.message


def test_without_an_earlier_deployment_a_commit_has_to_be_named(world: World) -> None:
    assert refused(world).kind == "no_target"


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


@pytest.fixture
def silent_api() -> Iterator[str]:
    """A service that says that it is ready, and not which commit it is."""

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ready"}')

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()


def test_a_service_that_will_never_tell_what_runs_is_found_out_before_anything_changes(
    world: World, silent_api: str
) -> None:
    two(world)
    before = state(world)
    running = {**world.options()["running"], "kind": "url", "url": silent_api}
    error = refused(world, running=running)
    assert (error.kind, "no text version" in error.message) == ("not_told", True)
    assert state(world) == before


def test_too_much_to_be_kept_is_refused_before_anything_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(world)
    (world.app / "uploads").mkdir()
    (world.app / "uploads" / "film").write_bytes(b"x" * 5000)
    monkeypatch.setattr(f"{aside.__name__}._MOST", 4096)
    before = world.git("count-objects")
    error = refused(world)
    assert (error.kind, "uploads" in error.message) == ("too_much_uncommitted", True)
    assert world.git("count-objects") == before


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
