"""What is deployed of the stand-in: commit, files that are in no commit, release, and the schema."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from runbook.rehearsal import outside_cleaning
from runbook.rehearsal.parts.deployments import git
from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms.deployments import checkout


def live(stack: Stack) -> str:
    """Return the commit that the API says it is, "" when it says nothing."""
    answer = fetch(f"{stack.facts['public_url']}/readyz", {})
    try:
        return str(json.loads(answer.body).get("version", ""))
    except ValueError:
        return ""


def picture(stack: Stack) -> dict[str, Any]:
    """Take settings, database, checkout, and what runs."""
    folder = checkout(stack)
    branch = git(folder, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/main")
    return {
        **outside_cleaning.picture(stack),
        "the commit": git(folder, "rev-parse", "HEAD"),
        "where HEAD is": git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "the branch main": branch,
        "what is in no commit": git(folder, "status", "--porcelain"),
        "what runs": live(stack),
        "the released files": _files(Path(stack.facts["deployments"]["release"])),
        "the files of the checkout": _files(folder),
    }


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


def kept(stack: Stack, name: str) -> str:
    """Return a file as a branch of what was set aside has it, "" where none has it."""
    folder = checkout(stack)
    for branch in git(folder, "for-each-ref", "--format=%(refname)", "refs/heads/oncall").split():
        if name in git(folder, "ls-tree", "--name-only", branch).splitlines():
            return git(folder, "show", f"{branch}:{name}")
    return ""


def patches(stack: Stack) -> str:
    """Return the patches that runs have kept."""
    return "".join(path.read_text() for path in stack.folder.glob("private/*/hot-fixes.patch"))
