"""The checkout that the platform is deployed from: a real git repository with its script and its release."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook.rehearsal import seed
from runbook.rehearsal.parts.cleaning_services import CleaningServices
from runbook.rehearsal.parts.database import Database
from runbook.rehearsal.processes import StandInError

_CODE = Path(seed.__file__).parent / "data" / "cleaning_code"
_IDENTITY = ["-c", "user.name=Dev", "-c", "user.email=dev@example.org", "-c", "commit.gpgsign=false"]
_DAYS_AGO = 3
_QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}


class Deployments:
    """A checkout in `folder`/checkout, its last commit live since three days; `told`: settings of the API."""

    def __init__(self, folder: Path, data: Database, told: dict[str, str]) -> None:
        self.folder, self._data = folder, data
        self.checkout, self.release = folder / "checkout", folder / "release"
        told["RELEASE_DIR"] = str(self.release)
        told["MIGRATIONS_DIR"] = str(self.release / "migrations")

    def launch(self) -> None:
        """Make the repository, with a history, and release its last commit."""
        shutil.copytree(_CODE, self.checkout)
        git(self.checkout, "init", "--quiet", "--initial-branch", "main")
        (self.checkout / ".gitignore").write_text(".deploy.env\n")
        self._write_settings()
        (self.checkout / "migrations").mkdir()
        for number, names in enumerate(
            (seed.migrations("cleaning")[:2], seed.migrations("cleaning")[2:], [])
        ):
            for path in names:
                shutil.copy(path, self.checkout / "migrations")
            (self.checkout / "CHANGES").write_text(f"release {number + 1}\n")
            commit(self.checkout, f"Release {number + 1}", days_ago=_DAYS_AGO)
        self.release.mkdir()
        shutil.copytree(self.checkout / "migrations", self.release / "migrations")
        shutil.copy(self.checkout / "api.json", self.release)
        (self.release / "SHA").write_text(head(self.checkout) + "\n")
        self._note_verified()

    def _write_settings(self) -> None:
        """What is of this host and in no commit: where things are, and who may change the schema."""
        server = self._data.server
        login = (
            f"host=127.0.0.1 port={server.port} user={server.superuser} dbname={self._data.shape.database}"
        )
        supervisor = self.folder / CleaningServices.project_name / "supervisord.conf"
        settings = {
            "PYTHON": sys.executable,
            "SUPERVISOR": str(supervisor),
            "RELEASE_DIR": str(self.release),
            "MIGRATE_DSN": f"{login} password={server.password}",
        }
        file = self.checkout / ".deploy.env"
        file.touch(mode=0o600)
        file.write_text("".join(f"{key}='{value}'\n" for key, value in settings.items()))

    def _note_verified(self) -> None:
        private = self.folder / "private"
        private.mkdir(mode=0o700, exist_ok=True)
        entry = {
            "path": str(self.checkout),
            "sha": head(self.checkout),
            "at": time.time() - _DAYS_AGO * 86400,
            "by": "ops",
            "verified": True,
        }
        (private / "deployments.jsonl").write_text(json.dumps(entry) + "\n")

    def wait_ready(self) -> None:
        """Nothing of it runs."""

    def stop(self) -> None:
        """Nothing of it runs."""

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says about it."""
        about = {
            "path": str(self.checkout),
            "release": str(self.release),
            "ledger": str(self.folder / "private" / "deployments.jsonl"),
            "good": head(self.checkout),
        }
        return {"deployments": about}


def git(checkout: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Run git as a developer would; raises StandInError."""
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *_IDENTITY, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **_QUIET, **(variables or {})},
        )
    except FileNotFoundError:
        raise StandInError("git is not installed on this machine") from None
    if done.returncode != 0:
        raise StandInError(f"git {arguments[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def commit(checkout: Path, subject: str, *, days_ago: float = 0) -> str:
    """Commit everything and return its id; the log of HEAD has the same time."""
    moment = f"@{int(time.time() - days_ago * 86400)} +0000"
    dated = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "-m", subject, variables=dated)
    return head(checkout)


def head(checkout: Path) -> str:
    """Return the commit that is checked out."""
    return git(checkout, "rev-parse", "HEAD")
