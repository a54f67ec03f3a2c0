"""However a run ends, its record says so, the lock is free, and nothing is green that is not verified."""

from __future__ import annotations

import json
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from runbook_engine import record, state
from runbook_engine.errors import RecordError

from runbook.rehearsal.ssh_server import SshServer

from .conftest import Engine

APPLY = ("-e", "mitigation=oil", "-e", "confirm=barn")


def _settled(folder: state.RunFolder) -> dict[str, Any]:
    """A worker of a killed run lives a moment longer, and as long as it does the run has not ended."""
    deadline = time.monotonic() + 10
    while (result := record.settled(folder))["ended"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return result


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_a_run_with_a_result_and_a_word_to_the_operator(engine: Engine, name: str) -> None:
    engine.stdout_callback = "console"
    run = engine.run(*APPLY, case=name)
    assert run.code not in (0, 2), run.output
    assert run.exit == (21, "failed")
    assert run.result["ended"] == "interrupted"
    assert "its change may be in place" in run.result["exit"]["reason"]
    assert "may be in place" in " ".join(run.output.split())
    record.verify(state.list_runs(engine.state)[0])
    engine.until_free()


def test_a_run_that_was_killed_gets_its_end_from_whoever_looks_first(engine: Engine) -> None:
    run = engine.run(*APPLY, case="SIGKILL")
    assert run.code == -9
    (folder,) = state.list_runs(engine.state)
    assert not folder.result.exists()
    result = _settled(folder)
    assert result["ended"] == "killed"
    assert (result["exit"]["code"], result["exit"]["name"]) == (21, "failed")
    assert result["finished_at"] == run.events()[-2]["at"]
    record.verify(folder)
    assert record.settled(folder) == result
    engine.until_free()


def test_a_killed_record_that_was_cut_is_not_repaired(engine: Engine) -> None:
    engine.run(*APPLY, case="SIGKILL")
    (folder,) = state.list_runs(engine.state)
    _settled(folder)
    folder.result.unlink()
    cut = folder.events.read_bytes()[:-9]
    folder.events.write_bytes(cut)
    with pytest.raises(RecordError, match="cut off"):
        record.settled(folder)
    assert folder.events.read_bytes() == cut
    assert not folder.result.exists()


def test_a_run_that_goes_on_is_left_alone(engine: Engine) -> None:
    folder = state.create_run(engine.state)
    with record.RecordWriter(folder) as writer:
        writer.append("run.started", {"run": folder.run, "check_mode": False})
        before = folder.events.read_bytes()
        assert record.settled(folder)["ended"] == "running"
        assert folder.events.read_bytes() == before


def test_asked_to_stop_a_run_ends_its_step_and_begins_no_other(engine: Engine) -> None:
    engine.stdout_callback = "console"
    run = engine.run(*APPLY, case="stop")
    assert run.exit == (21, "failed"), run.output
    assert run.result["ended"] == "interrupted"
    assert [s["status"] for s in run.result["steps"] if s["name"] == "Put oil on the hinges"] == [
        "changed"
    ] * 2
    assert "Push the door again" not in [s["name"] for s in run.result["steps"]]
    assert f"undo={run.result['run']}" in run.output
    engine.until_free()
    undone = engine.run("-e", f"undo={run.result['run']}", "-e", "confirm=barn")
    assert undone.exit == (0, "undone"), undone.output


def _seconds() -> str:
    """About half a minute, exactly as long as nothing else here sleeps."""
    return f"30.{uuid.uuid4().int % 10**9:09}"


def _sleepers(seconds: str) -> list[Path]:
    """Processes that sleep so long: no other test does."""
    return [folder for folder in Path("/proc").glob("[0-9]*") if _argv(folder) == ["sleep", seconds]]


def _argv(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []


@pytest.mark.parametrize(
    ("given", "case", "name", "expected"),
    [
        (("-e", "run_step_timeout_s=1"), "slow_look", "Look at the fence", (20, "failed_undone")),
        (("-e", "fence_patience=1"), "slow_wire", "String the wire", (21, "failed")),
    ],
)
def test_a_step_that_takes_too_long_is_stopped_with_what_it_began(
    engine: Engine, given: tuple[str, ...], case: str, name: str, expected: tuple[int, str]
) -> None:
    mend = ("-e", "mitigation=mend", "-e", "confirm=barn")
    run = engine.run(*mend, *given, case=case, playbook="fence_down.yml", SLEEP=(seconds := _seconds()))
    assert run.exit == expected, run.output
    assert f"'{name}' on" in run.result["exit"]["reason"]
    assert "was stopped after 1 s, its time limit" in run.result["exit"]["reason"]
    assert run.result["duration_s"] < 25
    step = next(s for s in run.result["steps"] if s["name"] == name)
    assert step["error"]["kind"] == "timeout"
    assert not _sleepers(seconds)
    swept = [e["data"] for e in run.events() if e["type"] == "run.swept"]
    assert {s["host"] for s in swept} == {"front", "back"}
    engine.until_free()
    if expected[0] == 21:
        assert f"resume={run.result['run']}" in run.result["exit"]["next_step"]


@pytest.mark.parametrize("strike", ["SIGKILL", "SIGTERM"])
def test_a_run_that_ends_in_a_step_leaves_no_process_of_it(engine: Engine, strike: str) -> None:
    mend = ("-e", "mitigation=mend", "-e", "confirm=barn")
    seconds = _seconds()
    started = engine.start(*mend, case="slow_wire", playbook="fence_down.yml", SLEEP=seconds)
    _until(lambda: len(_sleepers(seconds)) == 2)
    started.send_signal(signal.Signals[strike])
    started.communicate(timeout=30)
    _until(lambda: not _sleepers(seconds))
    engine.until_free()
    (folder,) = state.list_runs(engine.state)
    assert _settled(folder)["exit"]["code"] == 21


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a name that leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="cp-") as made:
        yield Path(made)


@pytest.fixture
def over_ssh(engine: Engine, ssh_host: SshServer) -> tuple[str, str]:
    """An inventory whose hosts are reached by SSH, and the variables without which they are not."""
    base = yaml.safe_load((engine.fixtures / "hosts.yml").read_text())
    del base["all"]["vars"]["ansible_connection"], base["all"]["vars"]["ansible_python_interpreter"]
    variables = {**ssh_host.ansible_variables(), "ansible_remote_tmp": str(engine.folder / "remote")}
    names = ("ansible_port", "ansible_ssh_private_key_file")
    given = json.dumps({name: variables.pop(name) for name in names})
    base["all"]["children"]["doors"]["hosts"] = {"front": variables, "back": variables}
    inventory = engine.folder / "over_ssh.yml"
    inventory.write_text(yaml.safe_dump(base))
    return str(inventory), given


@pytest.mark.parametrize(
    "strike",
    ["SIGKILL", *(pytest.param(how, marks=pytest.mark.slow) for how in ("SIGTERM", ""))],
)
def test_over_ssh_no_process_is_left_on_the_hosts_either(
    engine: Engine, over_ssh: tuple[str, str], short_folder: Path, strike: str
) -> None:
    inventory, given = over_ssh
    mend = ("-e", "mitigation=mend", "-e", "confirm=barn", "-e", f"fence_patience={30 if strike else 4}")
    seconds = _seconds()
    started = engine.start(
        *mend, "-e", given, case="slow_wire", playbook="fence_down.yml", inventory=inventory, SLEEP=seconds,
        # As in the project: then no terminal over there ends what the connection leaves.
        ANSIBLE_PIPELINING="true", ANSIBLE_SSH_CONTROL_PATH_DIR=str(short_folder),
    )  # fmt: skip
    _until(lambda: len(_sleepers(seconds)) == 2, 40)
    if strike:
        started.send_signal(signal.Signals[strike])
    started.communicate(timeout=60)
    _until(lambda: not _sleepers(seconds))
    engine.until_free(20)
    (folder,) = state.list_runs(engine.state)
    result = _settled(folder)
    assert result["exit"]["code"] == 21
    assert result["leftovers"] == []


def _until(what: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
