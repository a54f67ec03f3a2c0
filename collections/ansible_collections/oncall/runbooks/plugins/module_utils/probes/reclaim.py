# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Choose disposable files, remove or empty them, and see that the space came free."""

from __future__ import annotations

__metaclass__ = type

import glob
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.tail import tail_file
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, size

# The end of each emptied file that is kept; the disk is full, so it has to be little.
KEPT = 64 * 1024


@dataclass(frozen=True)
class Item:
    """One file that may go: `bytes` is what it takes on the disk, `changed` its last change (Unix time)."""

    path: str
    action: str
    bytes: int
    changed: float

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data."""
        return {"path": self.path, "action": self.action, "bytes": self.bytes}


def reclaim(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Free space until the goal is met and return the module's result; only list in check mode.

    Raises VerificationError when the declared candidates do not free enough.
    """
    path, goal = params["path"], params["goal_percent"]
    missing = missing_bytes(path, goal)
    chosen = _choose(params, missing)
    result = _predicted(goal, missing, chosen)
    if check_mode:
        return result
    before = _free(path)
    for item in chosen:
        result["evidence"] += _apply(item, params.get("evidence_dir"))
    if chosen:
        os.sync()
    result["freed"] = _free(path) - before
    if missing_bytes(path, goal) > 0:
        raise _short(path, goal, result["freed"])
    return result


def _free(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def missing_bytes(path: str, goal: float) -> int:
    """Return the bytes missing to `goal` percent free, negative when more than that is free."""
    found = os.statvfs(path)
    usable = (found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize
    return int(usable * goal / 100.0) - _free(path)


def _choose(params: Mapping[str, Any], missing: int) -> List[Item]:
    """The candidates in order, the oldest first, as many as the goal needs."""
    device = os.stat(params["path"]).st_dev
    chosen: Dict[str, Item] = {}
    for candidate in params["candidates"]:
        for item in sorted(_matches(candidate, device, params["protected"]), key=lambda one: one.changed):
            if missing <= 0:
                break
            if item.path not in chosen:
                chosen[item.path] = item
                missing -= item.bytes
    return list(chosen.values())


def _matches(candidate: Mapping[str, Any], device: int, protected: Sequence[str]) -> Iterator[Item]:
    limit = time.time() - candidate["older_than_hours"] * 3600
    for pattern in candidate["paths"]:
        if not os.path.isabs(pattern) or ".." in pattern.split("/"):
            raise UsageError(
                "look for files", on=pattern, got="it is no absolute path", next_step="write the whole path"
            )
        for path in glob.iglob(pattern):
            found = os.lstat(path)
            plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_dev == device
            if plain and found.st_blocks and found.st_mtime <= limit and not is_protected(path, protected):
                yield Item(path, candidate["action"], found.st_blocks * 512, found.st_mtime)


def is_protected(path: str, protected: Sequence[str]) -> bool:
    """Tell whether the real path lies in a protected folder or in a PostgreSQL data directory."""
    real = os.path.realpath(path)
    if any(real.startswith(os.path.realpath(folder).rstrip(os.sep) + os.sep) for folder in protected):
        return True
    folder = os.path.dirname(real)
    while folder != os.sep:
        # Tablespaces lie outside of the data directory, in a folder named after the catalog's version.
        if os.path.exists(os.path.join(folder, "PG_VERSION")) or os.path.basename(folder).startswith("PG_"):
            return True
        folder = os.path.dirname(folder)
    return False


def _predicted(goal: float, missing: int, chosen: List[Item]) -> Dict[str, Any]:
    total = sum(item.bytes for item in chosen)
    text = "%s with %s go; %s are missing to %g %% free" % (
        plural(len(chosen), "file"),
        size(total),
        size(max(0, missing)),
        goal,
    )
    result: Dict[str, Any] = {
        "changed": bool(chosen),
        "items": [item.as_dict() for item in chosen],
        "freed": 0,
        "evidence": [],
        "prediction": {
            "summary": text,
            "bytes": total,
            "enough": total >= missing,
            "data_loss": "the files listed" if chosen else "none",
        },
        "diff": {
            "before": "".join("%s %s %d\n" % (i.action, i.path, i.bytes) for i in chosen),
            "after": "",
        },
    }
    if chosen:
        result["undo"] = {
            "summary": "Removed and emptied files cannot be brought back.",
            "reversible": False,
        }
    return result


def _apply(item: Item, folder: Optional[str]) -> List[Dict[str, Any]]:
    if item.action == "remove":
        os.unlink(item.path)
        return []
    entry = _keep(item, folder)
    os.truncate(item.path, 0)
    return [entry]


def _keep(item: Item, folder: Optional[str]) -> Dict[str, Any]:
    text = scrub(tail_file(item.path, KEPT))
    digest = hashlib.sha256(text.encode()).hexdigest()
    name = item.path.strip("/").replace("/", "-")
    entry: Dict[str, Any] = {"name": name, "sha256": digest, "summary": "the end of %s" % item.path}
    return write_evidence(entry, text, folder)


def write_evidence(entry: Dict[str, Any], text: str, folder: Optional[str]) -> Dict[str, Any]:
    """Return `entry` with the text in it or, with a folder, the path of a private file that holds it."""
    if not folder:
        return dict(entry, content=text)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, entry["name"])
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    return dict(entry, path=path)


def _short(path: str, goal: float, freed: int) -> VerificationError:
    missing = size(max(0, missing_bytes(path, goal)))
    return VerificationError(
        "free %g %% of the file system" % goal,
        on=path,
        got="%s came free, %s are still missing, and no declared candidate is left" % (size(freed), missing),
        next_step="declare more candidates, remove the cause (WAL kept by a slot), or enlarge the volume",
    )
