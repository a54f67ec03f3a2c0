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
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.container_files import (
    of_stopped_container,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim_images import (
    Engine,
    removable,
    same_disk,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim_offsite import unproved
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.tail import tail_file
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, size

# The end of each emptied file that is kept; the disk is full, so it has to be little.
KEPT = 64 * 1024

_ENGINE = {"type": "str", "default": "docker"}
RECLAIM_SPEC: Dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "goal_percent": {"type": "float", "default": 20.0},
    "candidates": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "paths": {"type": "list", "elements": "str", "default": []},
            "images": {
                "type": "dict",
                "options": {
                    "engine": _ENGINE,
                    "keep_releases": {"type": "int", "default": 2},
                    "keep": {"type": "list", "elements": "str", "default": []},
                },
            },
            "build_cache": {"type": "dict", "options": {"engine": _ENGINE}},
            "older_than_hours": {"type": "float", "default": 24.0},
            "action": {"type": "str", "choices": ["remove", "truncate"], "default": "remove"},
            "keep_newest": {"type": "int", "default": 0},
            "offsite": {"type": "bool", "default": False},
        },
    },
    "offsite": {"type": "list", "elements": "dict", "default": []},
    "protected": {"type": "list", "elements": "path", "default": []},
}


@dataclass(frozen=True)
class Item:
    """One thing that may go: `bytes` is what it gives back, `changed` its last change (Unix time).

    `path` is the file; of an image its names, of the build cache the engine's program. `more` is told of it.
    """

    path: str
    action: str
    bytes: int
    changed: float
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inodes(self) -> int:
        """How many inodes it gives back, as far as that is known."""
        return int(self.action == "remove")

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data."""
        return {"path": self.path, "action": self.action, "bytes": self.bytes, **self.more}


def reclaim(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Free space until the goal is met and return the module's result; only list in check mode.

    Raises VerificationError when the declared candidates do not free enough.
    """
    path, goal = params["path"], params["goal_percent"]
    missing, inodes = missing_bytes(path, goal), missing_inodes(path, goal)
    chosen, troubles = _choose(params, missing, inodes)
    result = _predicted(goal, missing, inodes, chosen)
    if troubles:
        result["warnings"] = troubles
    if check_mode:
        return result
    before = _free(path)
    for item in chosen:
        _apply_one(item, params, result)
    if chosen:
        os.sync()
    result["freed"] = _free(path) - before
    if missing_bytes(path, goal) > 0 or missing_inodes(path, goal) > 0:
        error = _short(path, goal, result["freed"], result.get("warnings") or [])
        error.changed = bool(chosen)
        raise error
    return result


def measure(params: Mapping[str, Any], check: str = "disk_reclaimable") -> Dict[str, Any]:
    """Return the finding `check`: whether what is declared disposable is enough for the goal."""
    path, goal = params["path"], params["goal_percent"]
    try:
        missing, inodes = missing_bytes(path, goal), missing_inodes(path, goal)
        chosen, troubles = _choose(params, missing, inodes)
    except (OncallError, OSError) as exc:
        said = exc.message if isinstance(exc, OncallError) else "Could not look at %s: %s." % (path, exc)
        return finding(check, "unknown", said, observed={"path": path})
    total, files = sum(item.bytes for item in chosen), sum(item.inodes for item in chosen)
    observed = {"path": path, "missing": max(0, missing), "reclaimable": total, "items": len(chosen)}
    if missing <= 0 and inodes <= 0:
        summary = "%g %% of %s are free; nothing has to go." % (goal, path)
        return finding(check, "ok", summary, observed=observed)
    enough = total >= missing and files >= inodes
    summary = "%s to %g %% free on %s; what is declared disposable gives back %s in %s." % (
        _missing_text(missing, inodes),
        goal,
        path,
        size(total),
        _counted(chosen),
    )
    return finding(
        check,
        "ok" if enough else "unknown" if troubles else "fail",
        " ".join([summary, *troubles]),
        observed=observed,
        expected={"reclaimable": max(0, missing)},
    )


def _missing_text(missing: int, inodes: int) -> str:
    if inodes > 0:
        return "%s and %d inodes are missing" % (size(max(0, missing)), inodes)
    return "%s are missing" % size(max(0, missing))


def _apply_one(item: Item, params: Mapping[str, Any], result: Dict[str, Any]) -> None:
    try:
        result["evidence"] += _apply(item, params.get("evidence_dir"))
    except OncallError as exc:
        # An image that a container has come to use meanwhile stays; whether it is enough is seen in the end.
        result.setdefault("warnings", []).append(exc.message)


def _free(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def missing_bytes(path: str, goal: float) -> int:
    """Return the bytes missing to `goal` percent free, negative when more than that is free."""
    found = os.statvfs(path)
    usable = (found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize
    return int(usable * goal / 100.0) - _free(path)


def missing_inodes(path: str, goal: float) -> int:
    """Return the inodes missing to `goal` percent free; none on a file system that makes them as it needs."""
    found = os.statvfs(path)
    return int(found.f_files * goal / 100.0) - found.f_favail if found.f_files else 0


def _choose(params: Mapping[str, Any], missing: int, inodes: int) -> Tuple[List[Item], List[str]]:
    """As many as the goal needs, in order, the oldest first; and what could not be looked at."""
    device = os.stat(params["path"]).st_dev
    chosen: Dict[str, Item] = {}
    troubles: List[str] = []
    for candidate in params["candidates"]:
        if missing <= 0 and inodes <= 0:
            break
        for item in _in_order(candidate, device, params["protected"], troubles):
            if missing <= 0 and inodes <= 0:
                break
            # Where only inodes are missing, a shorter log is no help.
            helps = missing > 0 or item.inodes > 0
            if helps and item.path not in chosen and _may_go(item, candidate, params, troubles):
                chosen[item.path] = item
                missing -= item.bytes
                inodes -= item.inodes
    return list(chosen.values()), troubles


def _may_go(item: Item, candidate: Mapping[str, Any], params: Mapping[str, Any], troubles: List[str]) -> bool:
    """Whether nothing has to be proved of it, or it is proved; looked at last, because it takes reading."""
    if not candidate.get("offsite"):
        return True
    why = unproved(item.path, params.get("offsite") or [])
    if why:
        troubles.append("%s stays: %s." % (item.path, why))
    return not why


def _in_order(
    candidate: Mapping[str, Any], device: int, protected: Sequence[str], troubles: List[str]
) -> List[Item]:
    try:
        found = sorted(_matches(candidate, device, protected), key=lambda one: one.changed)
        return found[: max(0, len(found) - (candidate.get("keep_newest") or 0))]
    except UsageError:
        raise
    except OncallError as exc:
        # An engine may hang for want of the very space that the files beside its images would free.
        troubles.append(exc.message)
        return []


def _matches(candidate: Mapping[str, Any], device: int, protected: Sequence[str]) -> Iterator[Item]:
    if candidate.get("images"):
        return _images(candidate, device)
    if candidate.get("build_cache"):
        return _build_cache(candidate, device)
    if not candidate.get("paths"):
        next_step = "give it paths, images or build_cache"
        raise UsageError("free space", on="candidates", got="one of them names nothing", next_step=next_step)
    return _files(candidate, device, protected)


def _images(candidate: Mapping[str, Any], device: int) -> Iterator[Item]:
    rules = candidate["images"]
    engine = Engine(rules["engine"])
    for one in removable(engine, rules, candidate["older_than_hours"]) if same_disk(engine, device) else []:
        told = {"id": one.id, "tags": list(one.tags), "digests": list(one.digests), "engine": engine.program}
        yield Item(one.name, "remove_image", one.unique, one.since, told)


def _build_cache(candidate: Mapping[str, Any], device: int) -> Iterator[Item]:
    engine = Engine(candidate["build_cache"]["engine"])
    count = engine.cache() if same_disk(engine, device) else 0
    if count:
        told = {"engine": engine.program, "older_than_hours": candidate["older_than_hours"]}
        yield Item("build cache", "clear_build_cache", count, 0.0, told)


def _files(candidate: Mapping[str, Any], device: int, protected: Sequence[str]) -> Iterator[Item]:
    limit = time.time() - candidate["older_than_hours"] * 3600
    for pattern in candidate["paths"]:
        if not os.path.isabs(pattern) or ".." in pattern.split("/"):
            raise UsageError(
                "look for files", on=pattern, got="it is no absolute path", next_step="write the whole path"
            )
        for path in glob.iglob(pattern):
            found = os.lstat(path)
            plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_dev == device
            if candidate["action"] == "truncate" and of_stopped_container(path):
                continue
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


def _predicted(goal: float, missing: int, inodes: int, chosen: List[Item]) -> Dict[str, Any]:
    total = sum(item.bytes for item in chosen)
    text = "%s go, with about %s; %s to %g %% free" % (
        _counted(chosen),
        size(total),
        _missing_text(missing, inodes),
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
            "enough": total >= missing and sum(item.inodes for item in chosen) >= inodes,
            "data_loss": _loss(chosen),
        },
        "diff": {
            "before": "".join("%s %s %d\n" % (i.action, i.path, i.bytes) for i in chosen),
            "after": "",
        },
    }
    if chosen:
        result["undo"] = {
            "summary": "What was removed cannot be brought back; images with a digest can be pulled again.",
            "reversible": False,
        }
    return result


def _counted(chosen: Sequence[Item]) -> str:
    images = sum(item.action == "remove_image" for item in chosen)
    caches = sum(item.action == "clear_build_cache" for item in chosen)
    files = len(chosen) - images - caches
    parts = [plural(files, "file")] if files or not chosen else []
    parts += [plural(images, "image")] if images else []
    return " and ".join([*parts, *(["the build cache"] if caches else [])])


def _loss(chosen: Sequence[Item]) -> str:
    lost = [item for item in chosen if item.action == "remove_image" and not item.more["digests"]]
    if lost:
        return "what is listed; %s came from no registry and cannot be pulled again" % plural(
            len(lost), "image"
        )
    return "the files listed" if chosen else "none"


def _apply(item: Item, folder: Optional[str]) -> List[Dict[str, Any]]:
    if item.action == "remove_image":
        Engine(item.more["engine"]).remove(item.more["id"], item.more["tags"])
        return []
    if item.action == "clear_build_cache":
        Engine(item.more["engine"]).clear_cache(item.more["older_than_hours"])
        return []
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


def _short(path: str, goal: float, freed: int, troubles: Sequence[str]) -> VerificationError:
    missing = size(max(0, missing_bytes(path, goal)))
    said = "%s came free, %s are still missing, and no declared candidate is left" % (size(freed), missing)
    inodes = missing_inodes(path, goal)
    if inodes > 0:
        said += "; %d inodes are missing" % inodes
    return VerificationError(
        "free %g %% of the file system" % goal,
        on=path,
        got=". ".join([said, *troubles]),
        next_step="declare more candidates, remove the cause (WAL that a slot keeps, deleted files that are "
        "open), or enlarge the volume",
    )
