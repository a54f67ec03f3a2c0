"""One changing run per system at a time, proved with real runs of ansible-playbook."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from lock_runs import Runs

from runbook.rehearsal.ssh_server import SshServer

# The play of these tests has a change and no proof of it, which is never green.
UNVERIFIED = 9


@pytest.fixture(params=["local", "ssh"])
def any_runs(request: pytest.FixtureRequest, runs: Runs) -> Runs:
    """The same, locally and over SSH."""
    if request.param == "ssh":
        server: SshServer = request.getfixturevalue("ssh_host")
        runs.hosts, runs.lease = {"one": server.ansible_variables()}, 6.0
    return runs


def test_a_run_takes_the_lock_and_gives_it_back(any_runs: Runs) -> None:
    code, output = any_runs.finish("alice")
    assert code == UNVERIFIED, output
    assert any_runs.changed("alice")
    last = any_runs.lock().info()["lock"]["last"]
    assert (last["operator"], last["what"], last["ended"]["how"]) == ("alice", "restore", "released")
    assert any_runs.keeper_gone(any_runs.status("alice"))
    assert any_runs.status("alice").state == "released"
    assert sorted(p.name for p in (any_runs.folder / "locks").iterdir()) == [
        "roost.lease",
        "roost.lease.guard",
    ]


def test_a_second_run_is_refused_and_told_who_holds_it(any_runs: Runs) -> None:
    first = any_runs.holding("alice")
    time.sleep(any_runs.lease + 1)  # longer than the lease: it holds because it is renewed
    code, output = any_runs.finish("bob")
    assert code != 0
    assert not any_runs.changed("bob")
    assert any_runs.exit("bob") == (7, "lock_held")
    text = " ".join(output.split())
    for part in (
        any_runs.record("alice").name,
        "of alice on",
        "for restore",
        "until",
        "runbook lock break roost",
    ):
        assert part in text, output
    any_runs.go()
    assert first.wait(20) == UNVERIFIED
    assert any_runs.changed("alice")


def test_a_killed_run_frees_the_lock_within_seconds(any_runs: Runs) -> None:
    run = any_runs.holding("alice")
    status = any_runs.status("alice")
    assert any_runs.held()
    run.send_signal(signal.SIGKILL)
    run.wait(5)
    # What the run had begun on its hosts is ended first; the lease ends the wait for that.
    assert any_runs.wait_for(any_runs.free) < any_runs.lease + 2
    any_runs.wait_for(lambda: any_runs.keeper_gone(status), 5)
    assert any_runs.lock().info()["lock"]["last"]["ended"]["how"] == "released"


def test_a_terminated_run_frees_the_lock_within_seconds(runs: Runs) -> None:
    run = runs.holding("alice")
    status = runs.status("alice")
    run.terminate()
    run.communicate(timeout=30)
    runs.started.remove(run)  # it ends as an interrupted run does, not by the signal
    runs.wait_for(runs.free, runs.lease)
    runs.wait_for(lambda: runs.keeper_gone(status), runs.lease)


def test_a_controller_that_is_gone_with_its_keeper_frees_the_lock_by_its_lease(runs: Runs) -> None:
    run = runs.holding("alice")
    os.kill(runs.status("alice").keeper, signal.SIGKILL)
    run.kill()
    assert runs.held()
    assert runs.wait_for(runs.free) <= runs.lease + 5
    assert runs.lock().info()["lock"]["last"]["ended"]["how"] == "ran out"


def test_a_run_whose_lock_was_broken_changes_nothing_more(runs: Runs) -> None:
    run = runs.holding("alice")
    runs.lock().break_("bob", "alice is asleep")
    runs.wait_for((runs.record("alice") / "lock.lost").exists, runs.lease)
    assert "alice is asleep" in (runs.record("alice") / "progress.jsonl").read_text()
    runs.go()
    output, _ = run.communicate(timeout=20)
    assert run.returncode != 0
    assert "broken by bob" in " ".join(output.split())
    assert not runs.changed("alice")


def test_a_run_whose_keeper_was_killed_changes_nothing_more(runs: Runs) -> None:
    run = runs.holding("alice")
    os.kill(runs.status("alice").keeper, signal.SIGKILL)
    time.sleep(runs.lease + 0.2)
    runs.go()
    output, _ = run.communicate(timeout=20)
    assert run.returncode != 0
    assert "was not renewed" in " ".join(output.split())
    assert not runs.changed("alice")


def test_check_mode_takes_nothing_and_says_who_holds_it(runs: Runs) -> None:
    code, output = runs.finish("carol", "--check")
    assert code == UNVERIFIED, output
    assert runs.plan("carol")["holder"] is None
    assert list((runs.folder / "locks").iterdir()) == []
    runs.holding("alice")
    code, output = runs.finish("dave", "--check")
    assert code == UNVERIFIED, output
    assert runs.plan("dave")["holder"]["operator"] == "alice"


def test_the_next_host_has_the_lock_when_the_first_is_unreachable(runs: Runs, ssh_host: SshServer) -> None:
    dead = {**ssh_host.ansible_variables(), "ansible_port": 1}
    runs.hosts = {"a_dead": dead, "b_alive": runs.hosts["one"]}
    code, output = runs.finish("alice", "--limit", "localhost,b_alive")
    assert code == UNVERIFIED, output
    assert runs.plan("alice")["at"] == "b_alive"
    assert "a_dead cannot be reached" in runs.plan("alice")["skipped"][0]


def test_without_any_reachable_host_nothing_is_changed(runs: Runs, ssh_host: SshServer) -> None:
    runs.hosts = {"dead": {**ssh_host.ansible_variables(), "ansible_port": 1}}
    code, output = runs.finish("alice")
    assert code != 0
    assert "No host of the group can be reached" in " ".join(output.split())
    assert runs.exit("alice") == (8, "unreachable")


def test_a_lock_that_has_no_room_is_not_a_lock_that_is_held(any_runs: Runs, full_folder: Path) -> None:
    code, output = any_runs.finish("alice", run_lock_directory=str(full_folder))
    assert code != 0
    assert not any_runs.changed("alice")
    assert any_runs.exit("alice") == (4, "refused")
    assert "No space left on device" in " ".join(output.split())
    assert "give another one to every controller" in " ".join(output.split())


def test_a_lock_that_may_not_be_written_is_not_a_lock_that_is_held(runs: Runs) -> None:
    code, _output = runs.finish("alice", run_lock_directory="/sys/oncall")
    assert code != 0
    assert not runs.changed("alice")
    assert runs.exit("alice") == (4, "refused")
    in_the_way = runs.folder / "file"
    in_the_way.write_text("no folder")
    code, output = runs.finish("bob", run_lock_directory=f"{in_the_way}/locks")
    assert runs.exit("bob") == (4, "refused"), output


def test_a_run_gives_way_to_one_that_took_the_lock_on_another_host(runs: Runs, ssh_host: SshServer) -> None:
    runs.hosts = {"a": runs.hosts["one"], "b": runs.hosts["one"]}
    places = str(runs.folder) + "/locks/{{ run_lock_host_name | default(run_lock_at) }}"
    seen = {**runs.hosts, "a": {**ssh_host.ansible_variables(), "ansible_port": 1}}
    every, runs.hosts = runs.hosts, seen
    runs.holding("alice", run_lock_directory=places)
    runs.hosts = every
    code, output = runs.finish("bob", run_lock_directory=places)
    assert code != 0
    assert "is held on b by run" in " ".join(output.split())
    assert not runs.changed("bob")
    lease = json.loads((runs.folder / "locks" / "a" / "roost.lease").read_text())
    assert lease["ended"]["how"] == "released"


def test_two_names_of_one_machine_are_one_lock(runs: Runs) -> None:
    runs.hosts = {"a": runs.hosts["one"], "b": runs.hosts["one"]}
    code, output = runs.finish("alice")
    assert code == UNVERIFIED, output
