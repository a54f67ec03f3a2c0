"""A file of this machine as a block device with a file system that can grow while it is used."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

MIB = 1024 * 1024


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


_SYS_RESOURCE = 24


def may_resize_ext4() -> bool:
    """Whether this process may do what ext4 reserves: root in a container often may not."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("CapEff")]
    return bool(int(line.split()[1], 16) >> _SYS_RESOURCE & 1)


def has_loops() -> bool:
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


class Disk:
    """A file of this machine as a block device that can grow while it is used."""

    def __init__(self, folder: Path) -> None:
        self.file, self.point = folder / "disk", folder / "mounted here"
        self.device, self.made = "", Path("/nonexistent")
        self.point.mkdir()

    def attach(self, size: int, *, partition: bool = False) -> str:
        with self.file.open("wb") as handle:
            handle.truncate(size)
        if partition:
            script = "label: gpt\nstart=2048, size=655360\n"
            subprocess.run(["sfdisk", "-q", str(self.file)], input=script, text=True, check=True)
        self.device = _run("losetup", "--find", "--show", "--partscan", str(self.file))
        return self._partition() if partition else self.device

    def _partition(self) -> str:
        """Return the device of the first partition; where nobody makes device files, make it."""
        device = Path(self.device + "p1")
        numbers = Path(f"/sys/class/block/{device.name}/dev")
        if not numbers.exists():
            pytest.skip("the kernel makes no partitions of a loop device here")
        if not device.exists():
            major, minor = map(int, numbers.read_text().split(":"))
            os.mknod(device, 0o600 | stat.S_IFBLK, os.makedev(major, minor))
            self.made = device
        return str(device)

    def put(self, kind: str, size: int, *, partition: bool = False) -> None:
        """Attach a disk of this size with a file system of this kind; skip where the machine has none."""
        if shutil.which(f"mkfs.{kind}") is None:
            pytest.skip(f"needs mkfs.{kind}")
        device = self.attach(size, partition=partition)
        try:
            self.mount(device, kind)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no {kind} can be mounted here: {error.stderr}")

    def mount(self, device: str, kind: str = "ext4", *options: str) -> None:
        _run(f"mkfs.{kind}", "-q", device)
        _run("mount", "-t", kind, *options, device, str(self.point))

    def enlarge(self, size: int) -> None:
        os.truncate(self.file, size)
        _run("losetup", "--set-capacity", self.device)

    def usable(self) -> int:
        seen = os.statvfs(self.point)
        return seen.f_blocks * seen.f_frsize

    def detach(self) -> None:
        subprocess.run(["umount", str(self.point)], capture_output=True, check=False)
        if self.device:
            subprocess.run(["losetup", "--detach", self.device], capture_output=True, check=False)
        self.made.unlink(missing_ok=True)
