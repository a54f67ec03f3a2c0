"""Twenty secrets go through a run; afterwards, and in its processes meanwhile, there is none of them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.canaries import secret_project
from tests.canaries.hunt import Hunt, watched
from tests.canaries.secret_project import ASKED, BIN, SecretProject

APPLY = ("--mitigation", "rewrite", "--apply", "--confirm", "tiny")


@pytest.fixture
def project(tmp_path: Path) -> SecretProject:
    """A project with its secrets."""
    return secret_project.make(tmp_path)


def memory() -> list[Path]:
    """What private folders of runs there are, and Ansible's in the temporary folder."""
    bases = {Path("/dev/shm"), Path(tempfile.gettempdir())}
    return [path for base in bases for name in ("runbook-*", "ansible*") for path in base.glob(name)]


def look_everywhere(hunt: Hunt, project: SecretProject, *outputs: str) -> None:
    """Look into everything that a run may leave."""
    for number, text in enumerate(outputs):
        hunt.look(f"output {number}", text.encode())
    reports = [path for path in project.cli.root.iterdir() if path.name.startswith("report")]
    hunt.look_below(
        project.cli.state, project.cli.root / "home", project.cli.root / "locks", *reports, *memory()
    )


def test_the_command_leaves_none(project: SecretProject) -> None:
    cli, hunt = project.cli, Hunt(project.known)
    reports = {kind: str(cli.root / f"report.{kind}") for kind in ("html", "xml")}
    asked = ("run", "tiny", "file-failure", *APPLY, "--report", reports["html"], "--junit", reports["xml"])
    with watched(hunt, ASKED, known_to=["runbook.cli"]) as seen:
        done = cli(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(f"{cli.file}.secret").read_text() == project.known["written"]
    markdown = cli("report", "last", str(cli.root / "report.md"))
    told = cli("show-run", "last")
    cli("audit", "export", "last", str(cli.root / "report.tar.gz"))
    look_everywhere(hunt, project, done.stdout, done.stderr, markdown.stdout, told.stdout, told.stderr)
    assert len(seen) > 10
    assert hunt.looked_at > 100
    assert hunt.hits == set()


@pytest.mark.parametrize("verbosity", [[], pytest.param(["-vvv"], marks=pytest.mark.slow)])
def test_plain_ansible_leaves_none_in_the_record(project: SecretProject, verbosity: list[str]) -> None:
    cli, hunt = project.cli, Hunt(project.known)
    command = [
        str(BIN / "ansible-playbook"),
        "-i",
        "inventories/tiny",
        "playbooks/file_failure.yml",
        "--diff",
    ]
    asked = ["-e", "mitigation=rewrite", "-e", "confirm=tiny", *project.files, *verbosity]
    with watched(hunt, secret_project.UNASKED + ASKED):
        done = subprocess.run(
            [*command, *asked],
            cwd=cli.project,
            env=cli.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    look_everywhere(hunt, project, *([] if verbosity else [done.stdout, done.stderr]))
    assert hunt.hits == set()
