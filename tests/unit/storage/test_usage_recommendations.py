"""Which mitigation disk-full and high-resource-usage advise first for which findings, and when none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from runbook_engine.recommend import recommend
from runbook_engine.triage import triage

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
SLOT = {"slots": [{"name": "old", "active": False, "retained": 1}, {"name": "new", "active": True}]}
WELL: dict[str, dict[str, Any]] = {
    "data_disk": {}, "docker_disk": {}, "data_inodes": {}, "disk_reclaimable": {}, "backups_reclaimable": {},
    "disk_deleted": {}, "postgres_replication": {"slots": SLOT["slots"][1:]}, "postgres_queries": {},
    "service_usage": {"service": "api", "part": "api"}, "process_usage": {}, "processors": {}, "memory": {},
    "service_runtime": {"service": "api", "oom_killed": False}, "postgres_log": {"worst": ""},
    "postgres_writes": {},
}  # fmt: skip


def header(runbook: str) -> dict[str, Any]:
    """Return the header of a runbook."""
    text = (PLAYBOOKS / f"{runbook.replace('-', '_')}.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)[0]["vars"]["runbook"]
    return found


def findings(bad: dict[str, Any]) -> list[dict[str, Any]]:
    """Return findings of which these fail with this observed, all others being well; a text is a status."""
    made = []
    for check, observed in WELL.items():
        told = bad.get(check)
        status = told if isinstance(told, str) else "ok" if told is None else "fail"
        more = told if isinstance(told, dict) else {}
        made.append(
            {
                "check": check,
                "host": "h",
                "status": status,
                "summary": check,
                "observed": {**observed, **more},
            }
        )
    return made


def advised(runbook: str, **bad: Any) -> list[str]:
    """Return what is advised."""
    return [one["name"] for one in recommend(header(runbook), findings(bad))["advised"]]


NOTHING_GOES: dict[str, Any] = {"data_disk": {}, "disk_reclaimable": {}}


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        ({}, []),
        ({"disk_reclaimable": {}, "backups_reclaimable": {}, "disk_deleted": {}}, []),
        ({"data_disk": {}}, ["free-disk"]),
        ({"docker_disk": {}, "disk_reclaimable": "unknown"}, ["free-disk"]),
        ({"data_inodes": {}}, ["free-disk"]),
        ({**NOTHING_GOES, "disk_deleted": {}, "backups_reclaimable": "unknown"}, ["restart-holder"]),
        ({**NOTHING_GOES, "postgres_replication": SLOT, "backups_reclaimable": "unknown"}, ["drop-slot"]),
        ({**NOTHING_GOES, "postgres_replication": {}, "backups_reclaimable": "unknown"}, []),
        (NOTHING_GOES, ["remove-backups"]),
        ({**NOTHING_GOES, "backups_reclaimable": "unknown"}, []),
        ({**NOTHING_GOES, "backups_reclaimable": {}}, ["grow-volume"]),
    ],
)
def test_a_full_disk_is_freed_by_what_fills_it(bad: dict[str, Any], wanted: list[str]) -> None:
    assert advised("disk-full", **bad)[: max(1, len(wanted))] == wanted


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        ({}, []),
        ({"memory": {}, "processors": {}}, []),
        ({"postgres_queries": {}}, ["cancel-queries"]),
        ({"service_usage": {}, "postgres_queries": {}}, ["cancel-queries"]),
        ({"process_usage": {}}, ["pause-process"]),
        ({"service_usage": {}}, ["restart-service"]),
        ({"service_usage": {"part": "database"}}, []),
    ],
)
def test_high_usage_is_ended_where_it_comes_from(bad: dict[str, Any], wanted: list[str]) -> None:
    assert advised("high-resource-usage", **bad) == wanted


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"data_disk": {}}, ["disk-full"]),
        ({"data_inodes": {}}, ["disk-full"]),
        ({"postgres_writes": {}, "postgres_log": {"worst": "disk_full"}}, ["disk-full"]),
        ({"postgres_log": {"worst": "disk_full"}}, []),
        ({"service_usage": {}}, ["high-resource-usage"]),
        ({"service_runtime": {"oom_killed": True}}, ["high-resource-usage"]),
        ({"data_disk": {}, "processors": {}}, ["disk-full", "high-resource-usage"]),
    ],
)
def test_triage_names_them(bad: dict[str, Any], named: list[str]) -> None:
    both = [header("disk-full"), header("high-resource-usage")]
    assert [one["runbook"] for one in triage(both, {}, findings(bad))] == named
