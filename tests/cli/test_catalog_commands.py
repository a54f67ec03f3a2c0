"""`list`, `show` and wrong usage: quick, without Ansible, and with the nearest names."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cli_under_test import ROOT, Cli


def test_list_names_system_runbook_severity_target_mitigations_and_last_run(cli: Cli) -> None:
    done = cli("list")
    assert done.returncode == 0, done.stderr
    for word in ("tiny", "file-failure", "SEV-2", "5 min", "rewrite", "never"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_list_never_breaks_a_name_that_has_to_be_typed(cli: Cli) -> None:
    done = cli("list", "--project", str(ROOT))
    words = done.stdout.split()
    for name in ("free-disk", "restart", "terminate-sessions", "restore"):
        assert name in words


def test_show_says_what_it_costs_and_gives_the_commands_of_every_door(cli: Cli) -> None:
    done = cli("show", "tiny", "file-failure")
    assert done.returncode == 0, done.stderr
    for text in (
        "what the file said",
        "the old text is written back",
        "status.file_content == 'fail'",
        "runbook run tiny file-failure --mitigation rewrite --apply",
        "ansible-playbook -i inventories/tiny playbooks/file_failure.yml",
        "-e mitigation=rewrite -e confirm=tiny",
        "ansible-runner run",
        "AWX",
    ):
        assert text in done.stdout


@pytest.mark.parametrize("command", [["list"], ["show", "file-failure"], ["runs"]])
def test_reading_commands_import_neither_ansible_nor_the_runner(cli: Cli, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "runbook.cli", *command],
        cwd=cli.project, env=cli.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "runbook" in imported
    assert not imported & {"ansible", "ansible_runner", "boto3", "jinja2", "psycopg2", "jmespath"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["lst"], ["'lst'", "Did you mean list?"]),
        (["run", "tny", "file-failure"], ["'tny'", "Did you mean tiny?"]),
        (["run", "tiny", "file-failur"], ["'file-failur'", "Did you mean file-failure?"]),
        (["run", "tiny", "file-failure", "--mitigation", "rewrit"], ["'rewrit'", "Did you mean rewrite?"]),
        (["run", "tiny", "file-failure", "--aply"], ["'--aply'", "Did you mean --apply?"]),
        (["run", "tiny", "file-failure", "--app"], ["'--app'"]),
        (["run", "tiny", "file-failure", "--apply"], ["nothing to apply"]),
        (["run", "tiny", "file-failure", "--timeout", "-3"], ["'-3'"]),
        (["run", "tiny", "file-failure", "--timeout", "nan"], ["'nan'"]),
        (["run", "tiny", "file-failure", "--param", "x=1"], ["without --mitigation: it belongs to one"]),
        (["run", "tiny", "file-failure", "--inventory", "nowhere"], ["nowhere"]),
        (["run", "tiny", "file-failure", "--report", "r.pdf"], ["r.pdf", ".html"]),
        (["run", "tiny", "file-failure", "--report", "no/where.html"], ["no folder"]),
        (["run", "tiny", "file-failure", "--mitigation", "rewrite", "--param", "confirm=tiny"], ["confirm"]),
        (["run", "tiny", "file-failure", "--mitigation", "rewrite", "--param", "novalue"], ["'novalue'"]),
        (["show-run", "../../etc"], ["run id"]),
        (["show-run", "last"], ["No run"]),
        (["undo", "20260101t000000z-abcdef"], ["no run 20260101t000000z-abcdef"]),
        (["list", "--project", "/nowhere"], ["/nowhere", "playbooks"]),
    ],
)
def test_wrong_usage_is_exit_2_with_what_was_given_and_nothing_run(
    cli: Cli, args: list[str], said: list[str]
) -> None:
    done = cli(*args)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for text in said:
        assert text in done.stderr
    assert done.stdout == ""
    assert cli.runs == []


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("inventories/tiny/group_vars/all/system.yml", "---\nsystem:\n  name: [tiny\n", "system.yml:"),
        ("inventories/tiny/group_vars/all/system.yml", "---\nsystem: tiny\n", "system.yml:2"),
        ("inventories/tiny/group_vars/all/system.yml", "---\nother: 1\n", "no file there sets system"),
        (
            "inventories/tiny/group_vars/all/system.yml",
            "---\nsystem:\n  name: tiny\n  runbooks:\n    file-failure:\n      recovery_minutes: soon\n",
            "system.yml:6",
        ),
        ("playbooks/file_failure.yml", "---\n- hosts: all\n", "no header"),
        ("playbooks/file_failure.yml", "---\n- hosts: all\n  vars:\n    runbook: {name: other}\n", "yml:4"),
        ("playbooks/file_failure.yml", "\tx", "file_failure.yml:1"),
    ],
)  # fmt: skip
def test_broken_yaml_names_file_line_and_what_was_expected(cli: Cli, file: str, text: str, said: str) -> None:
    (cli.project / file).write_text(text)
    for command in (["run", "tiny", "file-failure"], ["list"]):
        done = cli(*command)
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
        assert "expected:" in done.stderr
    assert cli.runs == []


def test_a_broken_system_does_not_block_a_sound_one(cli: Cli) -> None:
    broken = cli.project / "inventories" / "other" / "group_vars" / "all"
    broken.mkdir(parents=True)
    (broken / "system.yml").write_text("system: [")
    listed = cli("list")
    assert listed.returncode == 2
    assert "file-failure" in listed.stdout
    assert cli("show", "tiny", "file-failure").returncode == 0


def test_a_vault_file_and_vault_values_are_no_obstacle(cli: Cli) -> None:
    folder = cli.project / "inventories" / "tiny" / "group_vars" / "all"
    (folder / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (folder / "secret.yml").write_text("password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n")
    assert cli("list").returncode == 0


def test_json_is_all_that_stdout_has(cli: Cli) -> None:
    listed = cli.json("list")
    assert [r["runbook"] for r in listed["runbooks"]] == ["file-failure"]
    assert cli.json("show", "file-failure")["system"] == "tiny"


def test_the_shipped_runbook_is_listed_and_shown(cli: Cli) -> None:
    assert "database-failure" in cli("list", "--project", str(ROOT)).stdout
    shown = cli("show", "roost", "database-failure", "--project", str(ROOT))
    assert shown.returncode == 0, shown.stderr
    assert "--mitigation restore" in shown.stdout


def test_show_names_what_a_diagnosis_can_be_told(cli: Cli) -> None:
    shown = cli("show", "roost", "security-breach", "--project", str(ROOT)).stdout
    assert "breach_aware_at (str); when somebody first knew" in " ".join(shown.split())


def test_the_wheel_carries_the_project(cli: Cli, tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT, env=cli.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(next((tmp_path / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    empty = tmp_path / "empty"
    empty.mkdir()
    env = cli.environment() | {"PYTHONPATH": str(tmp_path / "installed")}
    for command, word in ((["list"], "database-failure"), (["list", "--json"], str(tmp_path / "installed"))):
        done = subprocess.run(
            [sys.executable, "-m", "runbook.cli", *command],
            cwd=empty, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert word in done.stdout
