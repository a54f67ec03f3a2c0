# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was deployed when: the ledger of verified deployments, and where HEAD of the checkout has been."""

from __future__ import annotations

__metaclass__ = type

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.tail import tail_file

_TAIL = 256 * 1024
_REFLOG = 100


@dataclass(frozen=True)
class Deployed:
    """One deployment: the commit, when (Unix time), by whom (a run's id, or what git noted), and whether
    it was seen to serve afterwards."""

    sha: str
    at: float
    by: str
    verified: bool = False

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def read_ledger(path: str, folder: str) -> List[Deployed]:
    """Return what the ledger has of the checkout `folder`, the newest first; broken lines are left out."""
    if not path or not os.path.exists(path):
        return []
    found = []
    for line in tail_file(path, _TAIL).splitlines():
        try:
            entry = json.loads(line)
            if entry["path"] == folder:
                found.append(
                    Deployed(
                        str(entry["sha"]), float(entry["at"]), str(entry["by"]), entry["verified"] is True
                    )
                )
        except (ValueError, KeyError, TypeError):
            # Half a line is left where the disk was full; what is before it is still true.
            continue
    return found[::-1]


def note(path: str, folder: str, deployed: Deployed) -> None:
    """Add a line to the ledger, durably; raises OncallError when it cannot be written."""
    if not path:
        return
    line = json.dumps(dict(deployed.as_dict(), path=folder), sort_keys=True) + "\n"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "a", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as exc:
        raise OncallError(
            "note the deployment",
            on=path,
            got=str(exc),
            next_step="set deploy_ledger to a file that can be written, on a disk with room",
        ) from None


def reflog(git: Git) -> List[Deployed]:
    """Return where HEAD of the checkout has been, the newest first: the time of a commit is not that of its
    deployment. Empty where git keeps no such log."""
    done = git.call(
        "log", "--walk-reflogs", "-n", str(_REFLOG), "--date=unix", "--no-show-signature",
        "--format=%H%x00%gd%x00%gs", "HEAD", "--",
    )  # fmt: skip
    found = []
    for line in done.out.splitlines() if done.rc == 0 else []:
        sha, place, said = line.split("\0")
        when = place[place.find("{") + 1 : -1]
        if when.isdigit():
            found.append(Deployed(sha, float(when), said))
    return found


def since(moves: List[Deployed], sha: str) -> Optional[float]:
    """Return when HEAD came to `sha` for the last time, None when that is not known."""
    at = None
    for move in moves:
        if move.sha != sha:
            break
        at = move.at
    return at


def earlier(ledger: List[Deployed], moves: List[Deployed], current: str) -> List[Deployed]:
    """Return what was deployed before `current`, each commit once: verified ones first, the newest first."""
    verified = [entry for entry in ledger if entry.verified]
    left = moves[next((n for n, m in enumerate(moves) if m.sha != current), len(moves)) :]
    found: Dict[str, Deployed] = {}
    for entry in [*verified, *left]:
        if entry.sha != current:
            found.setdefault(entry.sha, entry)
    return list(found.values())
