"""The whole way through Ansible: the vendor's volume grows, its device with it, and its file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop_disk import Disk

from runbook.rehearsal.vendors.base import VendorServer
from runbook.rehearsal.vendors.hetzner import GB, Hetzner, back_with

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.slow


def play(folder: Path, variables: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point as a playbook would."""
    include = {"name": "oncall.runbooks.host", "tasks_from": "grow_volume"}
    tasks = [{"name": "Include", "ansible.builtin.include_role": include}]
    book = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    (folder / "ansible.cfg").touch()
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
    command += ["-vv", "--diff", *options, "play.yml"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_space_that_was_bought_can_be_used(tmp_path: Path, disk: Disk) -> None:
    # A sparse file: the volume has its real size, and takes next to nothing here.
    disk.put("xfs", 10 * GB)
    (tmp_path / "hetzner").mkdir()
    vendor = Hetzner(tmp_path / "hetzner")
    back_with(vendor, disk.file, disk.device, GB)
    with VendorServer(vendor) as server:
        variables = {
            "host_volume": "roost-data",
            "host_volume_size": 20,
            "host_volume_path": str(disk.point),
            "host_volume_token": vendor.state["token"],
            "host_volume_url": server.base_url + "/v1",
            "ansible_python_interpreter": sys.executable,
        }
        before = disk.usable()
        planned = play(tmp_path, variables, "--check")
        assert planned.returncode == 0, planned.stdout
        assert disk.usable() == before
        assert vendor.state["volumes"][0]["size"] == 10
        done = play(tmp_path, variables)
        assert done.returncode == 0, done.stdout
        again = play(tmp_path, variables)
        assert "changed=0" in again.stdout
    assert disk.usable() > before + 9 * GB
    for text in ("+20 GB", "+20480 MiB"):
        assert text in planned.stdout
        assert text in done.stdout
    told = done.stdout + done.stderr + planned.stdout
    assert vendor.state["token"] not in told
    assert json.loads((tmp_path / "hetzner" / "state.json").read_text())["volumes"][0]["size"] == 20
