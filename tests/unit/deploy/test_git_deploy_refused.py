"""What cannot be deployed, and what fails: told, and everything is as it was."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy import aside
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.deploy import deploy
from deploy_world import IDENTITY, World
from git_deployments import refused, state, two

from runbook.rehearsal.processes import alive, wait_until


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
