# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment that Ansible gets: what it needs, and what the system's inventory asks for by name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from runbook.project import Project

_KEPT = frozenset(
    ("HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "SSH_AGENT_PID", "SSH_AUTH_SOCK", "TMPDIR", "TZ", "USER")
)
_KEPT_PREFIXES = ("ANSIBLE_", "AWX_", "LC_", "MOLECULE_", "ONCALL_", "REHEARSAL_", "RUNBOOK_", "XDG_")
_LOOKUP = re.compile(
    r"""lookup\(\s*['"](?:ansible\.builtin\.)?env['"]\s*((?:,\s*['"][A-Za-z_]\w*['"]\s*)+)"""
)
_NAME = re.compile(r"\w+")


def child_environment(
    project: Project, inventories: Iterable[Path], private: Path, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the environment of the child.

    Kept: names of everyday use (home, language, PATH, the SSH agent), everything that configures Ansible or
    this project (by prefix), and each variable that an inventory reads with lookup('env', 'NAME'). Nothing
    else: a secret of another program does not reach the processes of a run.
    """
    wanted = {name for folder in inventories for name in looked_up(folder)}
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name in wanted or name.startswith(_KEPT_PREFIXES)
    }
    return kept | {
        # The programs of the environment that runbook is installed in, also when it is not activated.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)]),
        "ANSIBLE_CONFIG": str(project.config),
        # Files with module arguments, and the sockets of SSH, go where everything is wiped.
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(private / "cp"),
    }


def looked_up(inventory: Path) -> set[str]:
    """Return the environment variables that the files of `inventory` read with lookup('env', …)."""
    files = [inventory] if inventory.is_file() else sorted(p for p in inventory.rglob("*") if p.is_file())
    found: set[str] = set()
    for path in files:
        for names in _LOOKUP.findall(path.read_text("utf-8", errors="replace")):
            found.update(_NAME.findall(names))
    return found
