# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What takes the space of a file system: folders, files, deleted files that are open, and its growth."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import heapq
import os
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.procfs import process_info
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import plural, size, span

# So many folders and files are named, each of the two by itself.
TOP = 8
# Shorter than this, what a file system grew by says nothing.
_GROWTH_S = 1.0
_BLOCK = 512
# Of the file system, held by deleted files: so much of it is worth a restart of who holds them.
_DELETED_FAIL_PERCENT = 10.0
_DELETED_WARN = 64 << 20

Findings = Iterator[Dict[str, Any]]


@dataclass
class _Seen:
    """What a walk has found so far: bytes of each folder (all below it counted), and the largest files."""

    folders: Dict[str, int] = field(default_factory=dict)
    files: List[Tuple[int, str]] = field(default_factory=list)
    complete: bool = True

    def file(self, path: str, count: int) -> None:
        entry = (count, path)
        if len(self.files) < TOP:
            heapq.heappush(self.files, entry)
        else:
            heapq.heappushpop(self.files, entry)


def measure_use(path: str, look_into: Sequence[str], seconds: float) -> Findings:
    """Yield `disk_use`: the largest folders and files below `look_into`, and by how much `path`'s disk grows.

    It looks for `seconds` at most, and says when it has not seen all of it by then. It never follows a link
    and never leaves the file system of a folder.
    """
    began, free = time.monotonic(), _free(path)
    seen = look(look_into, began + seconds)
    time.sleep(max(0.0, _GROWTH_S - (time.monotonic() - began)))
    grows = (free - _free(path)) / (time.monotonic() - began)
    folders = sorted(seen.folders.items(), key=lambda one: -one[1])[:TOP]
    files = sorted(seen.files, reverse=True)
    text = "The largest: %s." % (
        ", ".join("%s (%s)" % (n, size(c)) for n, c in folders[:3]) or "nothing found"
    )
    if not seen.complete:
        text += " Not all of it was seen in %g s." % seconds
    if grows > 0:
        text += " It grows by %s a minute: full in %s." % (size(grows * 60), span(_free(path) / grows))
    yield finding(
        "disk_use",
        "ok" if look_into else "unknown",
        text if look_into else "No folder is named to look into.",
        observed={
            "path": path,
            "folders": [{"path": name, "bytes": count} for name, count in folders],
            "files": [{"path": name, "bytes": count} for count, name in files],
            "complete": seen.complete,
            "grows_per_s": round(grows),
        },
    )


def look(look_into: Sequence[str], deadline: float) -> _Seen:
    """Return the use of the folders `look_into` and of those right below them, seen until `deadline`."""
    seen = _Seen()
    for root in dict.fromkeys(map(os.path.realpath, look_into)):
        # A folder that is not there takes no space.
        with contextlib.suppress(OSError):
            _walk(root, os.lstat(root).st_dev, deadline, seen)
    return seen


def _walk(root: str, device: int, deadline: float, seen: _Seen) -> None:
    """Add what lies below `root`; each byte counts for the folder right below it, and for the root."""
    left = [(root, root)]
    while left:
        folder, top = left.pop()
        if time.monotonic() >= deadline:
            seen.complete = False
            return
        for entry, status in _entries(folder):
            if status.st_dev != device:
                continue
            if entry.is_dir(follow_symlinks=False):
                left.append((entry.path, entry.path if folder == root else top))
                continue
            count = status.st_blocks * _BLOCK
            seen.file(entry.path, count)
            for name in dict.fromkeys((root, top)):
                seen.folders[name] = seen.folders.get(name, 0) + count


def _entries(folder: str) -> "Iterator[Tuple[os.DirEntry[str], os.stat_result]]":
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # Whatever goes away while it is looked at has not to be counted.
            with contextlib.suppress(OSError):
                yield entry, entry.stat(follow_symlinks=False)


def _free(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def measure_deleted(paths: Sequence[str], root: str = "/proc") -> Findings:
    """Yield `disk_deleted`: files that were deleted, and whose space a process holds as long as it runs.

    Looked for on the file systems of `paths`; the one that lost the largest share to them decides.
    """
    whole = {os.stat(path).st_dev: _total(path) for path in paths if path}
    held = sorted(_deleted(set(whole), root), key=lambda one: -one["bytes"])
    total = sum(one["bytes"] for one in held)
    shares = [100.0 * _sum(held, device) / max(1, size_) for device, size_ in whole.items()]
    percent = max(shares, default=0.0)
    status = "fail" if percent >= _DELETED_FAIL_PERCENT else "warn" if total >= _DELETED_WARN else "ok"
    named = ", ".join("%s (process %d) %s" % (o["program"], o["pid"], size(o["bytes"])) for o in held[:3])
    text = "%s in %s that were deleted and are still open%s." % (
        size(total),
        plural(len(held), "file"),
        ": " + named if named else "",
    )
    if status != "ok":
        text += " Only the end of these processes gives it back."
    yield finding(
        "disk_deleted",
        status,
        text,
        observed={"bytes": total, "percent": round(percent, 1), "held": held[:TOP]},
        expected={"percent_below": _DELETED_FAIL_PERCENT},
    )


def _total(path: str) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize


def _sum(held: Sequence[Mapping[str, Any]], device: int) -> int:
    return sum(one["bytes"] for one in held if one["device"] == device)


def _deleted(devices: Set[int], root: str) -> Iterator[Dict[str, Any]]:
    """Every deleted file that is open on one of the devices, once, with the first process that holds it."""
    known = set()
    for name in filter(str.isdigit, os.listdir(root)):
        for link, status in _descriptors("%s/%s/fd" % (root, name)):
            key = (status.st_dev, status.st_ino)
            if status.st_dev not in devices or status.st_nlink or key in known:
                continue
            known.add(key)
            about = process_info(int(name), root)
            yield {
                "pid": int(name),
                "program": about.name if about else "?",
                "path": link.replace(" (deleted)", ""),
                "bytes": status.st_blocks * _BLOCK,
                "device": status.st_dev,
            }


def _descriptors(folder: str) -> "Iterator[Tuple[str, os.stat_result]]":
    # A process may end, and one of somebody else may not be looked into.
    with contextlib.suppress(OSError):
        for number in os.listdir(folder):
            with contextlib.suppress(OSError):
                path = "%s/%s" % (folder, number)
                yield os.readlink(path), os.stat(path)
