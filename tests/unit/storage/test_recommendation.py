"""A volume is enlarged only when the disk is full and nothing that may go would be enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from runbook_engine.recommend import recommend

PLAYBOOK = Path(__file__).resolve().parents[3] / "playbooks" / "database_failure.yml"


def finding(check: str, status: str) -> dict[str, Any]:
    return {"check": check, "host": "h", "status": status, "observed": {}, "expected": None, "summary": ""}


@pytest.mark.parametrize(
    ("disk", "reclaimable", "advised"),
    [
        ("fail", "fail", ["free-disk", "grow-volume"]),
        ("fail", "ok", ["free-disk"]),
        ("fail", "unknown", ["free-disk"]),
        ("fail", None, ["free-disk"]),
        ("warn", "fail", []),
        ("ok", None, []),
    ],
)
@pytest.mark.parametrize("where", ["data_disk", "docker_disk"])
def test_growing_comes_after_freeing(
    where: str, disk: str, reclaimable: str | None, advised: list[str]
) -> None:
    header = yaml.safe_load(PLAYBOOK.read_text())[0]["vars"]["runbook"]
    found = [finding(where, disk)]
    found += [finding("disk_reclaimable", reclaimable)] if reclaimable else []
    assert [one["name"] for one in recommend(header, found)["advised"]] == advised
