# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a run comes from: its operator, its door, the commit and the content that it executes."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Variables that a door adds to what its operator gave.
_DOORS_OWN = ("awx_", "tower_", "molecule_")
_AWX_OPERATOR = ("awx_user_name", "tower_user_name", "awx_schedule_name", "tower_schedule_name")
_CONTENT = (".yml", ".yaml", ".py", ".j2", ".json", ".sh", ".ini", ".cfg", "")
_SKIPPED = {"__pycache__", ".git", ".venv", "node_modules"}


def operator(
    environ: Mapping[str, str] = os.environ, variables: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """Return who runs: in AWX whom it names, else RUNBOOK_OPERATOR, else the user of this process."""
    # In AWX every job has the same user and environment; who started it, or what, is in extra variables.
    told = variables if door(environ) == "awx" else {}
    named = next((str(told[name]) for name in _AWX_OPERATOR if told.get(name)), "")
    named = named or environ.get("RUNBOOK_OPERATOR", "")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def controller() -> str:
    """Return the name of the machine that runs the playbook."""
    return socket.gethostname()


def door(environ: Mapping[str, str] = os.environ) -> str:
    """Return through which door the playbook was started, as far as the environment tells."""
    if environ.get("RUNBOOK_DOOR"):
        return environ["RUNBOOK_DOOR"]
    if environ.get("JOB_ID") and environ.get("AWX_HOST"):
        return "awx"
    if environ.get("MOLECULE_SCENARIO_NAME"):
        return "molecule"
    if environ.get("RUNNER_OMIT_EVENTS") is not None or environ.get("AWX_ISOLATED_DATA_DIR"):
        return "ansible-runner"
    return "ansible-playbook"


def playbook(play: Any, started: str) -> Path:
    """Return the file that `play` is written in; `started` is the one that was given to Ansible.

    They differ where a playbook imports the runbook's, as a scenario of molecule does.
    """
    return Path(play.get_path().rpartition(":")[0] or started).resolve()


def given(variables: Iterable[str]) -> list[str]:
    """Return, of the names of extra variables, those that an operator gave."""
    return sorted(name for name in variables if not name.startswith(_DOORS_OWN))


def commit(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of `folder` and whether its tracked files differ; None where there is no git."""
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None, None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return head, bool(changed) if changed is not None else None


def content_digest(roots: Iterable[Path]) -> str:
    """Return `sha256:<hex>` over names and bytes of the files of a run under `roots`.

    A root that is no path is an inventory given as text ("host,"): the text itself counts.
    """
    # Each by itself and then in order of the hashes: where a checkout lies must not make a difference.
    return "sha256:" + hashlib.sha256("".join(sorted({_tree(root) for root in roots})).encode()).hexdigest()


def _tree(root: Path) -> str:
    total = hashlib.sha256()
    if not root.exists():
        total.update(f"{root}\n".encode())
    base = root if root.is_dir() else root.parent
    for file in _files(root):
        own = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(base)}\0{own}\n".encode())
    return total.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in _SKIPPED and not n.startswith("."))
        for name in sorted(files):
            file = Path(folder) / name
            if file.suffix in _CONTENT and file.is_file():
                yield file


def _git(folder: Path, *arguments: str) -> str | None:
    command: list[Any] = ["git", "-C", folder, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
