"""A project that is deployed from a real git checkout by a script of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.options import DEPLOY_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.running import RUNNING_SPEC

SCRIPT = """\
#!/bin/sh
# What the real script does with images: what was asked for is live when it has ended.
set -eu
echo "deploying ${DEPLOY_SHA:?}, password=canary-of-the-script"
test ! -e broken || { echo "no space left on device" >&2; exit 7; }
git rev-parse HEAD > ../live
"""
IDENTITY = ["-c", "user.name=Dev", "-c", "user.email=dev@example.org", "-c", "commit.gpgsign=false"]
MIGRATIONS: dict[str, Any] = {
    "path": "migrations",
    "pattern": r"(?!.*\.down\.)(?P<version>\d+)[^/]*\.sql",
    "revision": "",
    "parent": "",
    "table": "public.schema_migrations",
    "column": "version",
    "applied": "all",
    "compatible": "(?m)^-- older code runs with this$",
    "destructive": r"(?i)\bDROP\b",
}


@dataclass
class World:
    """The checkout in `folder`/app; what is live is in `folder`/live."""

    folder: Path
    login: dict[str, Any] = field(default_factory=dict)

    @property
    def app(self) -> Path:
        """The checkout."""
        return self.folder / "app"

    @property
    def live(self) -> str:
        """The commit that the script deployed last."""
        path = self.folder / "live"
        return path.read_text().strip() if path.exists() else ""

    def git(self, *arguments: str) -> str:
        """Run git as a developer would."""
        done = subprocess.run(
            ["git", "-C", str(self.app), *IDENTITY, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def create(self) -> str:
        """Make the repository with its first commit and deploy it."""
        self.app.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")
        (self.app / "ops").mkdir()
        (self.app / "ops" / "deploy.sh").write_text(SCRIPT)
        (self.app / "ops" / "deploy.sh").chmod(0o755)
        return self.commit("First", {"app.py": "one\n", ".gitignore": "secret.env\n"}, deploy=True)

    def commit(self, subject: str, files: dict[str, str | None], *, deploy: bool = False) -> str:
        """Commit files (None removes); `deploy` also makes it live, as a person at the host would."""
        for name, text in files.items():
            path = self.app / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", subject)
        sha = self.git("rev-parse", "HEAD")
        if deploy:
            (self.folder / "live").write_text(sha + "\n")
        return sha

    def options(self, **given: Any) -> dict[str, Any]:
        """Return the options of a module, with the defaults of its specification."""
        values = {name: about.get("default") for name, about in DEPLOY_SPEC.items()}
        running = {name: about.get("default") for name, about in RUNNING_SPEC.items()}
        return {
            **values,
            **self.login,
            "path": str(self.app),
            "ledger": str(self.folder / "ledger.jsonl"),
            "running": {**running, "kind": "file", "path": str(self.folder / "live")},
            "sha": "",
            "receipt": {},
            "recent_hours": 24.0,
            "uncommitted": "set_aside",
            "sha_variable": "DEPLOY_SHA",
            "script_timeout": 20.0,
            "ready": [],
            "ready_timeout": 0.2,
            "run": "20261121t064300z-7f3a9c",
            "private_dir": str(self.folder / "private"),
            **given,
        }

    def ledger(self) -> list[dict[str, Any]]:
        """Return what the ledger has."""
        path = self.folder / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
