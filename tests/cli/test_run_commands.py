"""`run` with the real Ansible: diagnose, plan, apply, refuse, stop, and never green without proof."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cli_under_test import Cli

RUN = ("run", "tiny", "file-failure")
APPLY = (*RUN, "--mitigation", "rewrite", "--apply")


def test_diagnosis_finds_advises_and_changes_nothing(cli: Cli) -> None:
    done = cli(*RUN)
    assert done.returncode == 1, done.stderr
    assert "The file says 'bad'." in done.stdout
    assert "plan it: runbook run tiny file-failure --mitigation rewrite" in done.stdout
    assert "FINDINGS REMAIN" in done.stdout
    assert cli.file.read_text() == "bad"
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("where", "said"),
    [("full_folder", "No space left on device"), ("read_only_folder", "Read-only file system")],
)
def test_a_state_folder_without_room_is_refused_before_ansible_starts(
    cli: Cli, request: pytest.FixtureRequest, where: str, said: str
) -> None:
    cli.env["RUNBOOK_STATE"] = str(request.getfixturevalue(where))
    done = cli(*APPLY, "--confirm", "tiny")
    assert done.returncode == 4, done.stdout
    assert f"The run cannot be recorded in {cli.env['RUNBOOK_STATE']}: {said}." in done.stderr
    assert "Next: make room or permission there, or choose another folder with --state" in done.stderr
    assert done.stdout == ""
    assert cli.file.read_text() == "bad"


def test_healthy_is_0(cli: Cli) -> None:
    cli.file.write_text("ok")
    assert cli(*RUN).returncode == 0


def test_plan_predicts_and_changes_nothing(cli: Cli) -> None:
    done = cli(*RUN, "--mitigation", "rewrite")
    assert done.returncode == 3, done.stderr
    assert "-bad" in done.stdout
    assert "+ok" in done.stdout
    assert "digest" in done.stdout
    assert cli.file.read_text() == "bad"


def test_apply_writes_report_junit_and_json(cli: Cli, tmp_path: Path) -> None:
    html, xml = tmp_path / "r.html", tmp_path / "r.xml"
    done = cli(*APPLY, "--confirm", "tiny", "--json", "--report", str(html), "--junit", str(xml))
    assert done.returncode == 0, done.stderr
    assert cli.file.read_text() == "ok"
    result = json.loads(done.stdout)
    assert result["exit"]["name"] == "verified"
    assert result["door"] == "runbook"
    assert "as predicted" in html.read_text()
    suite = ET.parse(xml).getroot()
    assert suite.get("failures") == "0"
    assert "Write the file again [tiny-1]" in [case.get("name") for case in suite]
    # The plan that was shown is the plan that was applied.
    digests = {json.loads((run / "result.json").read_text())["plan"]["digest"] for run in cli.runs}
    assert len(cli.runs) == 2
    assert digests == {result["plan"]["digest"]}
    assert "verified" in cli("list").stdout


@pytest.mark.parametrize("confirm", [[], ["--confirm", "tinny"], ["--confirm", ""]])
def test_without_the_right_name_nothing_runs(cli: Cli, confirm: list[str]) -> None:
    done = cli(*APPLY, *confirm)
    assert done.returncode == 4
    assert "--confirm tiny" in done.stderr
    assert cli.runs == []
    assert cli.file.read_text() == "bad"


@pytest.mark.parametrize(
    ("typed", "code", "left"),
    [
        ("tiny\n", 0, "ok"),
        ("yes\n", 4, "bad"),
        pytest.param("\x04", 4, "bad", marks=pytest.mark.slow),
    ],
)
def test_on_a_terminal_the_name_has_to_be_typed_after_the_plan(
    cli: Cli, typed: str, code: int, left: str
) -> None:
    ours, theirs = pty.openpty()
    process = cli.popen(*APPLY, stdin=theirs, stderr=subprocess.STDOUT)
    os.write(ours, typed.encode())
    out = process.communicate(timeout=120)[0]
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, out
    assert out.index("+ok") < out.index("Type tiny to do this")
    assert "PLANNED" not in out
    assert "--apply" not in out
    assert cli.file.read_text() == left


def test_a_name_typed_where_no_input_is_allowed_is_not_read(cli: Cli) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"tiny\n")
    done = cli(*APPLY, "--no-input", stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 4
    assert cli.runs == []


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        pytest.param([signal.SIGINT, signal.SIGINT], "interrupted twice", marks=pytest.mark.slow),
        ([signal.SIGTERM], "SIGTERM"),
    ],
)
def test_stop_now_leaves_no_process_and_says_that_nothing_changed(
    cli: Cli, signals: list[int], said: str
) -> None:
    process, marks = _waiting(cli, "60")
    for number in signals:
        process.send_signal(number)
        time.sleep(0.3)
    out = process.communicate(timeout=30)[0]
    assert process.returncode == 5, out
    assert said in out
    assert "nothing was changed" in " ".join(out.split())
    assert cli.file.read_text() == "bad"
    assert marks
    assert not _alive_with(cli)


def test_one_interrupt_stops_after_the_current_step(cli: Cli) -> None:
    process, _ = _waiting(cli, "3")
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 5, out
    assert "finishing the current step; Ctrl-C again to stop it now" in out
    results = [json.loads((run / "result.json").read_text()) for run in cli.runs]
    steps = next(r for r in results if not r["check_mode"])["steps"]
    assert [s["status"] for s in steps if s["name"].startswith("Wait")] == ["ok"]
    assert cli.file.read_text() == "bad"
    assert not _alive_with(cli)


def test_the_time_limit_stops_the_run(cli: Cli) -> None:
    done = cli(*APPLY, "--confirm", "tiny", "--param", "tiny_pause=60", "--timeout", "6")
    assert done.returncode == 5, done.stdout
    assert "the time limit of 6 s is over" in done.stdout
    assert not _alive_with(cli)


def test_the_environment_is_what_was_asked_for_and_its_secrets_stay_in_it(cli: Cli) -> None:
    cli.env |= {"OTHER_TOKEN": "canary-other-program", "TINY_SECRET": "canary-asked-for"}
    variables = cli.project / "inventories" / "tiny" / "group_vars" / "all" / "secret.yml"
    variables.write_text("tiny_secret: \"{{ lookup('env', 'TINY_SECRET') }}\"\n")
    process, environments = _waiting(cli, "60")
    folders = {e.get("ANSIBLE_LOCAL_TEMP", "") for e in environments} - {""}
    assert folders
    root = Path(folders.pop()).parent
    assert root.stat().st_mode & 0o777 == 0o700
    held = b"".join(p.read_bytes() for p in root.rglob("*") if p.is_file())
    argv = b"".join(e["argv"].encode() for e in environments)
    asked = [e for e in environments if e.get("TINY_SECRET") == "canary-asked-for"]
    process.send_signal(signal.SIGTERM)
    out = process.communicate(timeout=30)[0]
    assert asked
    assert not [e for e in environments if "OTHER_TOKEN" in e]
    # ansible-runner would switch it off.
    assert {e.get("ANSIBLE_HOST_KEY_CHECKING") for e in environments} == {None}
    recorded = b"".join(p.read_bytes() for p in cli.state.rglob("*") if p.is_file())
    for where in (held, argv, recorded, out.encode()):
        assert b"canary-" not in where
    assert not root.exists()


def test_an_unreachable_host_is_8_and_never_green(cli: Cli) -> None:
    hosts = cli.project / "inventories" / "tiny" / "hosts.yml"
    hosts.write_text(
        "all: {children: {service: {hosts: {tiny-1: {ansible_host: 127.0.0.1, ansible_port: 1}}}}}\n"
    )
    done = cli(*RUN)
    assert done.returncode == 8, done.stdout
    assert "tiny-1" in done.stdout


def test_an_empty_group_is_never_green(cli: Cli) -> None:
    hosts = cli.project / "inventories" / "tiny" / "hosts.yml"
    hosts.write_text("all: {children: {service: {hosts: {}}}}\n")
    done = cli(*RUN)
    assert done.returncode not in (0, 1, 3), done.stdout


def test_a_limit_that_matches_nothing_is_never_green(cli: Cli) -> None:
    assert cli(*RUN, "--limit", "nobody").returncode not in (0, 1, 3)


def test_a_limit_keeps_the_first_play(cli: Cli) -> None:
    assert cli(*RUN, "--limit", "tiny-1").returncode == 1


def test_an_unknown_parameter_is_refused_before_anything_is_measured(cli: Cli) -> None:
    done = cli(*RUN, "--mitigation", "rewrite", "--param", "rewrte=1")
    assert done.returncode == 2, done.stdout
    assert "rewrte" in done.stdout
    assert json.loads((cli.runs[-1] / "result.json").read_text())["findings"] == []


def test_a_broken_inventory_says_what_ansible_said(cli: Cli) -> None:
    (cli.project / "inventories" / "tiny" / "hosts.yml").write_text("all: [\n")
    done = cli(*RUN)
    assert done.returncode not in (0, 1, 3)
    assert "hosts.yml" in done.stderr + done.stdout


def test_a_state_folder_that_cannot_be_written_changes_nothing(cli: Cli) -> None:
    cli.state.write_text("a file, not a folder")
    done = cli(*APPLY, "--confirm", "tiny")
    assert done.returncode == 4, (done.stdout, done.stderr)
    assert str(cli.state) in done.stderr
    assert "--state" in done.stderr
    assert cli.file.read_text() == "bad"


def _waiting(cli: Cli, seconds: str) -> tuple[subprocess.Popen[str], list[dict[str, str]]]:
    """A run that is inside its pause, and the environments of its processes (`argv` added)."""
    process = cli.popen(
        *APPLY, "--confirm", "tiny", "--param", f"tiny_pause={seconds}", stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        events = [
            e for p in cli.state.glob("runs/*/events.jsonl") if '"check_mode":false' in (e := p.read_text())
        ]
        if any(
            '"step.started"' in line and "Wait as long" in line for e in events for line in e.splitlines()
        ):
            time.sleep(0.5)
            return process, _alive_with(cli)
        time.sleep(0.1)
    process.kill()
    raise AssertionError(process.communicate()[0])


def _alive_with(cli: Cli) -> list[dict[str, str]]:
    """Environments of living processes that an Ansible run of this test's project started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pairs = [p.partition("=") for p in (folder / "environ").read_bytes().decode().split("\0")]
            argv = (folder / "cmdline").read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            continue
        environment = {name: value for name, _, value in pairs}
        if environment.get("TINY_FILE") == str(cli.file) and "RUNBOOK_MARK" in environment:
            found.append(environment | {"argv": argv})
    return found
