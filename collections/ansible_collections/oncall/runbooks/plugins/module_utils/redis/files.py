# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a Redis that is down: which there are, copies of them with checksums, and the way back."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from typing import Any, Dict, List

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size

SNAPSHOT, SINGLE, FOLDER = "dump.rdb", "appendonly.aof", "appendonlydir"
_LIST = "files.json"
# Copies may not fill the disk on which the server has to start again.
_SPARE = 16 << 20


@dataclass(frozen=True)
class Names:
    """What the files are called below `root`: Redis before 7 has one append-only file, 7 a folder of them."""

    root: str
    snapshot: str = SNAPSHOT
    single: str = SINGLE
    folder: str = FOLDER

    def path(self, name: str) -> str:
        """Return the path of a file below the root."""
        return os.path.join(self.root, name)

    @property
    def append_only(self) -> str:
        """The append-only file, or the list of its parts, from the root; raises UsageError without one."""
        listed = os.path.join(self.folder, self.single + ".manifest")
        for name in (listed, self.single):
            if os.path.isfile(self.path(name)):
                return name
        raise UsageError(
            "find the append-only file of Redis",
            on=self.root,
            got="there is neither %s nor %s" % (listed, self.single),
            next_step="set data_path to the folder of its files, or use the snapshot",
        )

    def present(self) -> List[str]:
        """Return the names of all files that hold data, from the root, sorted."""
        found = [name for name in (self.snapshot, self.single) if os.path.isfile(self.path(name))]
        if os.path.isdir(self.path(self.folder)):
            found += [os.path.join(self.folder, name) for name in os.listdir(self.path(self.folder))]
        return sorted(found)

    def remove(self, *names: str) -> None:
        """Remove files that were copied before, and the folder when nothing is left in it."""
        for name in names:
            os.unlink(self.path(name))
        if os.path.isdir(self.path(self.folder)) and not os.listdir(self.path(self.folder)):
            os.rmdir(self.path(self.folder))


def keep(names: Names, target: str) -> Dict[str, str]:
    """Copy every file to `target` durably and return their checksums by name; raises OncallError.

    A copy that is there already from before is left alone: it is the older state, which is what counts.
    """
    kept_before = os.path.join(target, _LIST)
    if os.path.exists(kept_before):
        return _sums(target)
    present = names.present()
    require_room(names, target)
    sums = {}
    try:
        os.makedirs(target, mode=0o700, exist_ok=True)
        for name in present:
            place = os.path.join(target, name)
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
            shutil.copy2(names.path(name), place)
            _sync(place)
            sums[name] = checksum(place)
        beside = kept_before + ".new"
        with open(beside, "w", encoding="utf-8") as handle:
            json.dump(sums, handle)
        _sync(beside)
        os.rename(beside, kept_before)
    except OSError as exc:
        raise OncallError(
            "copy the files of Redis",
            on=target,
            got="%s; nothing was changed" % exc,
            next_step="give keep_dir on a file system with room, and become root",
            kind="not_kept",
        ) from None
    return sums


def require_room(names: Names, target: str) -> None:
    """Raise ConflictError when a copy of every file does not fit where `target` is."""
    needed = sum(os.path.getsize(names.path(name)) for name in names.present()) + _SPARE
    folder = target
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConflictError(
            "copy the files of Redis",
            on=target,
            got="%s are free and %s are needed; nothing was changed" % (size(free), size(needed)),
            next_step="make room, or give keep_dir on another file system",
        )


def require_whole(target: str) -> Dict[str, str]:
    """Return the checksums of the copies in `target`; raises UsageError when one is not what it was."""
    sums = _sums(target)
    for name, known in sums.items():
        place = os.path.join(target, name)
        if not os.path.isfile(place) or checksum(place) != known:
            raise UsageError(
                "put the files of Redis back",
                on=place,
                got="the copy is missing or is not what it was; nothing was changed",
                next_step="find out who changed it",
            )
    return sums


def put_back(names: Names, target: str) -> None:
    """Put the copies of `target` in the place of what is there; raises UsageError when one is not whole."""
    sums = require_whole(target)
    names.remove(*names.present())
    for name in sums:
        os.makedirs(os.path.dirname(names.path(name)), exist_ok=True)
        install(os.path.join(target, name), names.path(name))


def install(source: str, target: str) -> None:
    """Copy a file to its place in one step, as its folder's owner."""
    beside = target + ".new"
    shutil.copy2(source, beside)
    owner = os.stat(os.path.dirname(target))
    if os.geteuid() == 0:
        os.chown(beside, owner.st_uid, owner.st_gid)
    _sync(beside)
    os.rename(beside, target)


def _sums(target: str) -> Dict[str, Any]:
    try:
        with open(os.path.join(target, _LIST), encoding="utf-8") as handle:
            loaded: Dict[str, Any] = json.load(handle)
            return loaded
    except (OSError, ValueError) as exc:
        raise UsageError(
            "read what was kept of Redis", on=target, got=str(exc), next_step="look into that folder"
        ) from None


def checksum(path: str) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for piece in iter(lambda: handle.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def _sync(path: str) -> None:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
