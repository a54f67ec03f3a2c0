# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a path lies on: mount, device, partition, and how large each of them is; read from the kernel."""

from __future__ import annotations

__metaclass__ = type

import os
import re
import struct
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, UsageError

_SECTOR = 512
_MOUNTS = "/proc/self/mountinfo"
_BTRFS_SUPER = 0x10000


@dataclass(frozen=True)
class Mount:
    """One line of the kernel's table of mounts; `number` is the device's major:minor."""

    number: str
    point: str
    options: Tuple[str, ...]
    fstype: str
    source: str


@dataclass(frozen=True)
class Layout:
    """A mounted file system and the block device below it, sizes in bytes.

    `disk` is the whole disk when the device is a partition (number `partition`), `disk_size` its size and
    `room_behind` what is free there behind the partition; without a partition they are "" and 0.
    """

    mount: Mount
    device: str
    device_size: int
    filesystem_size: int
    disk: str = ""
    partition: int = 0
    disk_size: int = 0
    room_behind: int = 0


def layout_of(path: str) -> Layout:
    """Return what `path` lies on; raises OncallError when that is nothing that can be enlarged here."""
    mount = _mount_of(path)
    if mount.fstype not in READERS:
        raise UsageError(
            "enlarge the file system of %s" % path,
            on="%s, mounted at %s" % (mount.fstype, mount.point),
            got="only %s can be enlarged here" % ", ".join(sorted(READERS)),
            next_step="enlarge it by hand, or name a path on the volume",
            kind="unsupported",
        )
    device = os.path.realpath(mount.source)
    name = os.path.basename(device)
    folder = os.path.join("/sys/class/block", name)
    if not os.path.isdir(folder) or os.path.isdir(os.path.join(folder, "dm")):
        raise UsageError(
            "enlarge the file system of %s" % path,
            on=mount.source,
            got="it is a logical, encrypted or remote volume, not a disk or a partition",
            next_step="enlarge that volume first (LVM: lvextend --resizefs)",
            kind="unsupported",
        )
    size = READERS[mount.fstype](device, mount.point)
    return _with_partition(Layout(mount, device, _number(folder, "size") * _SECTOR, size), folder)


def _mount_of(path: str) -> Mount:
    real = os.path.realpath(path)
    if not os.path.exists(real):
        next_step = "correct the path (of the role: host_volume_path)"
        raise UsageError("find the file system", on=path, got="there is no such path", next_step=next_step)
    with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as handle:
        mounts = [_parsed(line) for line in handle]
    # Of several on the same point the last one covers the others.
    holding = [m for m in mounts if real == m.point or real.startswith(m.point.rstrip("/") + "/")]
    return max(enumerate(holding), key=lambda one: (len(one[1].point), one[0]))[1]


def _parsed(line: str) -> Mount:
    fields = line.split(" ")
    rest = fields[fields.index("-") + 1 :]
    return Mount(fields[2], _plain(fields[4]), tuple(fields[5].split(",")), rest[0], _plain(rest[1]))


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _with_partition(layout: Layout, folder: str) -> Layout:
    if not os.path.exists(os.path.join(folder, "partition")):
        return layout
    disk = os.path.dirname(os.path.realpath(folder))
    size = _number(disk, "size")
    end = _number(folder, "start") + _number(folder, "size")
    behind = [
        _number(os.path.join(disk, name), "start")
        for name in os.listdir(disk)
        if os.path.exists(os.path.join(disk, name, "partition"))
        and _number(os.path.join(disk, name), "start") >= end
    ]
    return replace(
        layout,
        disk="/dev/" + os.path.basename(disk),
        partition=_number(folder, "partition"),
        disk_size=size * _SECTOR,
        room_behind=0 if behind else (size - end) * _SECTOR,
    )


def _number(folder: str, name: str) -> int:
    with open(os.path.join(folder, name), encoding="ascii") as handle:
        return int(handle.read())


def _read(device: str, offset: int, length: int) -> bytes:
    try:
        with open(device, "rb", buffering=0) as handle:
            handle.seek(offset)
            return handle.read(length)
    except PermissionError:
        raise DeniedError(
            "read the size of the file system",
            on=device,
            got="only root may read it",
            next_step="become root (become: true)",
        ) from None


def _ext_size(device: str, _point: str) -> int:
    block = _read(device, 1024, 1024)
    low, shift = struct.unpack_from("<I", block, 4)[0], struct.unpack_from("<I", block, 24)[0]
    wide = struct.unpack_from("<I", block, 0x60)[0] & 0x80
    high = struct.unpack_from("<I", block, 0x150)[0] if wide else 0
    return int(((high << 32) + low) * (1024 << shift))


def _xfs_size(device: str, point: str) -> int:
    # What is on the disk lags behind, so the kernel is asked; it leaves out the log inside the file system.
    block = _read(device, 0, 512)
    start, log = struct.unpack_from(">Q", block, 48)[0], struct.unpack_from(">I", block, 96)[0]
    seen = os.statvfs(point)
    return int(seen.f_frsize * (seen.f_blocks + (log if start else 0)))


def _btrfs_size(device: str, _point: str) -> int:
    # The super block's own entry of this device, as far as the file system uses it.
    return int(struct.unpack_from("<Q", _read(device, _BTRFS_SUPER, 4096), 0xC9 + 8)[0])


#: how the size of each kind that can be enlarged while it is mounted is read, in bytes
READERS: Dict[str, Callable[[str, str], int]] = {
    "ext2": _ext_size,
    "ext3": _ext_size,
    "ext4": _ext_size,
    "xfs": _xfs_size,
    "btrfs": _btrfs_size,
}


def rescan(device: str) -> None:
    """Let the kernel look again how large a SCSI disk is; others tell it themselves."""
    path = os.path.join("/sys/class/block", os.path.basename(device), "device", "rescan")
    if os.path.exists(path):
        with open(path, "w", encoding="ascii") as handle:
            handle.write("1")


#: programs that enlarge, by kind: program, arguments, and the package that brings it
Tool = Tuple[str, List[str], str]


def grow_tool(layout: Layout) -> Tool:
    """Return what enlarges the file system to the end of its device."""
    if layout.mount.fstype == "xfs":
        return "xfs_growfs", [layout.mount.point], "xfsprogs"
    if layout.mount.fstype == "btrfs":
        return "btrfs", ["filesystem", "resize", "max", layout.mount.point], "btrfs-progs"
    return "resize2fs", [layout.device], "e2fsprogs"


def partition_tool(layout: Layout) -> Optional[Tool]:
    """Return what enlarges the partition to the end of its disk, None where there is no partition."""
    if not layout.disk:
        return None
    return "growpart", [layout.disk, str(layout.partition)], "cloud-guest-utils"
