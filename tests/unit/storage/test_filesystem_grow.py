"""A mounted file system grows to the end of its device, on real devices; what cannot grow is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.storage import filesystem, layout
from ansible_collections.oncall.runbooks.plugins.module_utils.storage.filesystem import grow
from ansible_collections.oncall.runbooks.plugins.module_utils.storage.layout import Layout, Mount
from loop_disk import MIB, Disk, may_resize_ext4


def options(path: Path, **changed: Any) -> dict[str, Any]:
    return {"path": str(path), "device_bytes": 0, "timeout": 0.2, **changed}


@pytest.mark.slow
class TestRealDevices:
    @pytest.mark.parametrize("kind", ["ext4", "xfs"])
    def test_a_whole_disk_grows_under_its_files(self, disk: Disk, kind: str) -> None:
        if kind == "ext4" and not may_resize_ext4():
            pytest.skip("resizing a mounted ext4 needs CAP_SYS_RESOURCE, which this container has not")
        disk.put(kind, 320 * MIB)
        (disk.point / "data").write_bytes(b"x" * MIB)
        assert grow(options(disk.point), check_mode=False)["changed"] is False
        planned = grow(options(disk.point / "data", device_bytes=400 * MIB), check_mode=True)
        assert planned["changed"]
        disk.enlarge(400 * MIB)
        before = disk.usable()
        done = grow(options(disk.point / "data", device_bytes=400 * MIB), check_mode=False)
        assert disk.usable() > before + 70 * MIB
        assert (planned["diff"], planned["prediction"]) == (done["diff"], done["prediction"])
        assert done["undo"]["reversible"] is False
        assert (disk.point / "data").read_bytes() == b"x" * MIB
        assert grow(options(disk.point, device_bytes=400 * MIB), check_mode=False)["changed"] is False

    def test_what_the_program_says_is_told(self, disk: Disk) -> None:
        if may_resize_ext4():
            pytest.skip("here it would succeed")
        disk.put("ext4", 64 * MIB)
        disk.enlarge(128 * MIB)
        with pytest.raises(OncallError, match="Permission denied to resize") as caught:
            grow(options(disk.point), check_mode=False)
        assert caught.value.changed is False

    def test_a_partition_grows_first(self, disk: Disk) -> None:
        if shutil.which("growpart") is None or shutil.which("sfdisk") is None:
            pytest.skip("needs growpart (cloud-guest-utils) and sfdisk")
        disk.put("xfs", 340 * MIB, partition=True)
        disk.enlarge(480 * MIB)
        planned = grow(options(disk.point), check_mode=True)
        done = grow(options(disk.point), check_mode=False)
        assert [Path(c.split()[0]).name for c in done["commands"]] == ["growpart", "xfs_growfs"]
        assert disk.usable() > 360 * MIB
        assert abs(planned["size"] - done["size"]) <= 2 * MIB
        assert grow(options(disk.point), check_mode=False)["changed"] is False

    def test_a_read_only_file_system_is_refused(self, disk: Disk) -> None:
        disk.mount(disk.attach(64 * MIB), "ext4", "-o", "ro")
        disk.enlarge(128 * MIB)
        with pytest.raises(OncallError, match="mounted read-only"):
            grow(options(disk.point), check_mode=False)

    def test_a_device_that_did_not_grow_is_named_with_its_size(self, disk: Disk) -> None:
        disk.mount(disk.attach(64 * MIB))
        with pytest.raises(OncallError, match=r"it has 64.0 MiB, not 128.0 MiB"):
            grow(options(disk.point, device_bytes=128 * MIB), check_mode=False)


def test_what_cannot_be_enlarged_is_refused(tmp_path: Path) -> None:
    for path, says in (("/proc", "only btrfs, ext2"), (str(tmp_path / "none"), "host_volume_path")):
        with pytest.raises(OncallError, match=re.escape(says)):
            grow(options(Path(path)), check_mode=True)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend a layout; only rules that no device is needed for."""

    def put(**changed: Any) -> None:
        mount = Mount(
            "8:16", "/data", tuple(changed.pop("options", ("rw",))), changed.pop("fstype", "ext4"), "/dev/sdb"
        )
        sizes = {"device_size": 100 * MIB, "filesystem_size": 100 * MIB, **changed}
        monkeypatch.setattr(filesystem, "layout_of", lambda path: Layout(mount, "/dev/sdb", **sizes))

    return put


def test_the_prediction_counts_what_the_device_is_about_to_get(fake: Callable[..., None]) -> None:
    fake()
    assert grow(options(Path("/data")), check_mode=True)["changed"] is False
    planned = grow(options(Path("/data"), device_bytes=200 * MIB), check_mode=True)
    assert (planned["changed"], planned["size"]) == (True, 200 * MIB)
    assert planned["diff"] == {"before": "100 MiB\n", "after": "200 MiB\n"}
    fake(disk="/dev/sdb", partition=1, disk_size=120 * MIB, room_behind=19 * MIB)
    assert grow(options(Path("/data")), check_mode=True)["size"] == 119 * MIB
    # Another partition is in the way: nothing behind this one.
    fake(disk="/dev/sdb", partition=1, disk_size=120 * MIB, room_behind=0)
    assert grow(options(Path("/data")), check_mode=True)["changed"] is False


@pytest.mark.parametrize(
    ("changed", "package"),
    [
        ({}, "e2fsprogs"),
        ({"fstype": "xfs"}, "xfsprogs"),
        ({"fstype": "btrfs"}, "btrfs-progs"),
    ],
)
def test_a_missing_program_is_named_with_its_package(
    fake: Callable[..., None], monkeypatch: pytest.MonkeyPatch, changed: Any, package: str
) -> None:
    monkeypatch.setattr(filesystem, "_found", lambda program: None)
    fake(**changed, device_size=200 * MIB)
    with pytest.raises(OncallError, match=f"install the package {package}"):
        grow(options(Path("/data")), check_mode=True)


def test_the_tables_of_the_kernel_are_read_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"2 1 8:16 / {tmp_path}/with\\040space rw,noatime shared:1 - xfs /dev/sdb rw\n"
        f"3 1 8:32 / {tmp_path}/with\\040space ro - ext4 /dev/sdc ro\n"
    )
    (tmp_path / "with space" / "deep").mkdir(parents=True)
    monkeypatch.setattr(layout, "_MOUNTS", str(table))
    found = layout._mount_of(str(tmp_path / "with space" / "deep"))
    assert (found.source, found.options) == ("/dev/sdc", ("ro",)), "the later one covers the earlier"
    assert layout._mount_of("/etc").source == "/dev/sda1"
    json.dumps(found.options)
