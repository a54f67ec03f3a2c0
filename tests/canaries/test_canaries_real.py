"""The same search over the real runbook: a damaged database, a wrong password, plan, restore and undo."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runbook.rehearsal.stack import Stack
from tests.canaries.hunt import Hunt, canary, watched
from tests.cli.cli_under_test import ROOT, Cli

pytestmark = pytest.mark.slow

RUN = ("run", "roost", "database-failure", "--inventory", "inventories/rehearsal/roost", "--no-input")
# What a connection string, a shell and JSON each write in another way.
_TAIL = "/ü\"&=% \\'@:"
_UNASKED = (
    "OTHER_TOKEN",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GITHUB_TOKEN",
    "STRIPE_KEY",
)
_ASKED = ("ROOST_ADMIN_TOKEN", "ROOST_STRIPE_API_KEY", "ROOST_CANARY_TOKEN", "ROOST_POSTGRES_PASSWORD")


@dataclass
class Place:
    """A damaged stand-in whose secrets are nasty, and the command that runs against it."""

    cli: Cli
    path: Path
    known: dict[str, str] = field(default_factory=dict)

    @property
    def stack(self) -> Stack:
        """The stand-in."""
        return Stack(self.path)

    def change(self, part: str, **values: Any) -> None:
        """Change what the inventory is told of the stand-in."""
        facts = self.stack.facts
        facts[part] |= values
        self.path.write_text(json.dumps(facts))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """The stand-in, up and damaged."""
    path = tmp_path / "target" / "stack.json"
    cli = Cli(tmp_path)
    (tmp_path / "project").symlink_to(ROOT)
    _rehearsal("up", "--scale", "0.2", "--stack", str(path))
    try:
        _rehearsal("fault", "corrupt-tables", "--stack", str(path))
        made = Place(cli, path)
        _plant(made)
        yield made
    finally:
        _rehearsal("down", "--stack", str(path))


def _rehearsal(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runbook.rehearsal", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _plant(place: Place) -> None:
    known = {name: canary(_TAIL) for name in ("postgres", "app", "s3_secret", "wrong", *_UNASKED, *_ASKED)}
    facts, server = place.stack.facts, place.stack.server()
    # The stand-in sets passwords as an operator would: they are never written into the server's log.
    server.execute("ALTER ROLE roost_app PASSWORD %s", (known["app"],))
    server.execute(f"ALTER ROLE {facts['postgres']['user']} PASSWORD %s", (known["postgres"],))
    place.change("postgres", password=known["postgres"])
    place.change("app", password=known["app"])
    place.change("s3", secret_key=known["s3_secret"])
    home = place.cli.root / "home"
    home.mkdir()
    place.cli.env |= {name: known[name] for name in (*_UNASKED, *_ASKED)}
    place.cli.env |= {"REHEARSAL_STACK": str(place.path), "HOME": str(home)}
    place.known = known


def _look_at_what_is_left(hunt: Hunt, place: Place) -> None:
    """State, reports, private folders, folders on the target, and the logs of the servers."""
    folder, temporary = place.stack.folder, Path(tempfile.gettempdir())
    left = [
        p
        for base in (Path("/dev/shm"), temporary)
        for n in ("runbook-*", "ansible*", "oncall-restore*")
        for p in base.glob(n)
    ]
    reports = [path for path in place.cli.root.iterdir() if path.name.startswith("report")]
    logs = [*folder.rglob("*.log")]
    assert any(path.name == "postgres.log" for path in logs)
    hunt.look_below(
        place.cli.state, place.cli.root / "home", place.path.parent / "ansible", *left, *reports, *logs
    )


def test_a_rehearsed_incident_leaves_none(place: Place) -> None:
    cli, hunt = place.cli, Hunt(place.known)
    reports = ["--report", str(cli.root / "report.html"), "--junit", str(cli.root / "report.xml")]
    apply = ("--mitigation", "restore", "--apply", "--confirm", "roost")
    outputs = []
    with watched(hunt, _ASKED, known_to=["runbook.cli"]) as seen:
        place.change("postgres", password=place.known["wrong"])
        outputs.append(cli(*RUN))
        place.change("postgres", password=place.known["postgres"])
        outputs += [cli(*RUN, "--json"), cli(*RUN, *apply, *reports)]
        outputs.append(cli("undo", "last", "--apply", "--confirm", "roost", "--no-input"))
    outputs += [cli("report", "last", str(cli.root / "report.md")), cli("show-run", "last")]
    outputs.append(cli("audit", "export", "last", str(cli.root / "report.tar.gz")))
    codes = [done.returncode for done in outputs]
    assert codes == [1, 1, 0, 0, 0, 0, 0], [done.stdout + done.stderr for done in outputs]
    for number, done in enumerate(outputs):
        hunt.look(f"output {number}", (done.stdout + done.stderr).encode())
    _look_at_what_is_left(hunt, place)
    assert len(seen) > 40
    assert hunt.hits == set()
