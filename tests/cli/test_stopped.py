"""Stopped between steps and in the middle of one, by the command: nothing is left, all is resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cli_under_test import Cli

PLAN = ("run", "tiny", "file-failure", "--mitigation", "rewrite")
WAIT, LOOK = "Wait as long", "Look whether the file is there"


def _apply(cli: Cli, *more: str) -> subprocess.Popen[str]:
    command = (*PLAN, "--apply", "--confirm", "tiny", *more)
    return cli.popen(*command, stderr=subprocess.STDOUT)


def _until_step(cli: Cli, process: subprocess.Popen[str], name: str) -> None:
    """Wait until the applying run is in that step."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for path in cli.state.glob("runs/*/events.jsonl"):
            first, _, more = path.read_text().partition("\n")
            started = '"type":"step.started"' in more and f'"host":"tiny-1","name":"{name}' in more
            if started and not json.loads(first)["data"]["check_mode"]:
                return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"{name} never began: {process.communicate()[0]}")


def _left(cli: Cli) -> list[str]:
    """What runs of this test's project are still alive, the keeper of a lock too."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().decode().split("\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, UnicodeDecodeError):
            continue
        if f"TINY_FILE={cli.file}" in variables and state != "Z" and int(folder.name) != os.getpid():
            found.append((folder / "cmdline").read_bytes().decode().replace("\0", " "))
    return found


def _result(cli: Cli, run: Path) -> dict[str, Any]:
    shown: dict[str, Any] = cli.json("show-run", run.name)
    return shown


@pytest.mark.parametrize(
    ("how", "step", "code"),
    [
        ("SIGKILL", LOOK, 21),
        *(
            pytest.param(how, step, code, marks=pytest.mark.slow)
            for step, code in ((WAIT, 5), (LOOK, 21))
            for how in ("SIGINT", "SIGINT twice", "SIGTERM", "SIGKILL", "SIGKILL all")
            if (how, step) != ("SIGKILL", LOOK)
        ),
    ],
)
def test_a_stopped_run_leaves_nothing_and_is_resumed(cli: Cli, how: str, step: str, code: int) -> None:
    pause = "tiny_pause=3" if how == "SIGINT" else "tiny_pause=60"
    late = "tiny_look=3" if how == "SIGINT" else "tiny_look=60"
    process = _apply(cli, "--param", pause if step == WAIT else late)
    _until_step(cli, process, step)
    _strike(cli, process, how)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while _left(cli):
        assert time.monotonic() < deadline, _left(cli)
        time.sleep(0.1)
    # With the keeper killed, too, it is the lease that frees the lock.
    time.sleep(12 if how == "SIGKILL all" else 0)
    assert cli("lock", "show", "tiny").returncode == 0
    run = cli.runs[-1]
    stopped = _result(cli, run)
    assert stopped["exit"]["code"] == code, stopped["exit"]
    assert cli.file.read_text() == ("bad" if step == WAIT else "ok")
    if code == 21:
        assert f"runbook resume {run.name} --apply" in stopped["exit"]["next_step"]
    written = cli.file.stat().st_mtime_ns
    resumed = cli("resume", run.name, "--apply", "--confirm", "tiny")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert cli.file.read_text() == "ok"
    assert (cli.file.stat().st_mtime_ns == written) == (step == LOOK)
    again = cli("resume", run.name)
    assert again.returncode == 4, again.stdout
    assert f"Run {cli.runs[-2].name} resumed it already" in " ".join(again.stdout.split())


def _strike(cli: Cli, process: subprocess.Popen[str], how: str) -> None:
    name, _, more = how.partition(" ")
    time.sleep(0.3)
    if more == "all":
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                argv = (folder / "cmdline").read_bytes().decode()
                ours = f"TINY_FILE={cli.file}" in (folder / "environ").read_bytes().decode()
            except (OSError, UnicodeDecodeError):
                continue
            if ours and ("ansible-playbook" in argv or int(folder.name) == process.pid):
                os.kill(int(folder.name), signal.SIGKILL)
        return
    process.send_signal(signal.Signals[name])
    if more == "twice":
        time.sleep(0.3)
        process.send_signal(signal.Signals[name])
