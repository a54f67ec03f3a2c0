"""Which mitigation redis-down advises first for which findings, and for which it rightly has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from runbook_engine.recommend import recommend

PLAYBOOK = Path(__file__).resolve().parents[3] / "playbooks" / "redis_down.yml"
WELL: dict[str, dict[str, Any]] = {
    "data_disk": {}, "data_inodes": {}, "redis_runtime": {}, "redis_log": {"worst": ""},
    "redis_answers": {"kind": ""}, "redis_writes": {"kind": ""},
    "redis_memory": {"raise_to": 0, "cache_only": False},
    "redis_persistence": {"blocks_writes": False}, "redis_role": {"role": "primary"}, "redis_clients": {},
    "redis_credentials": {"remedy": "", "service": "api"},
}  # fmt: skip


def advised(**bad: dict[str, Any]) -> list[str]:
    """Return what is advised when these checks fail with this observed, all others being well."""
    findings = [
        {"check": check, "host": "h", "status": "fail" if check in bad else "ok", "summary": "",
         "expected": None, "observed": {**observed, **bad.get(check, {})}}
        for check, observed in WELL.items()
    ]  # fmt: skip
    header = yaml.safe_load(PLAYBOOK.read_text())[0]["vars"]["runbook"]
    return [item["name"] for item in recommend(header, findings)["advised"]]


def test_nothing_is_advised_when_nothing_is_wrong() -> None:
    assert advised() == []


@pytest.mark.parametrize(
    ("bad", "first"),
    [
        ({"redis_runtime": {}, "redis_answers": {"kind": "refused"}}, "restart"),
        ({"redis_answers": {"kind": "timeout"}}, "restart"),
        ({"redis_writes": {"kind": "oom"}, "redis_memory": {"raise_to": 9}}, "raise-memory"),
        ({"redis_writes": {"kind": "oom"}, "redis_memory": {"raise_to": 0, "cache_only": True}}, "evict"),
        ({"redis_writes": {"kind": "misconf"}, "redis_persistence": {"blocks_writes": True}}, "save-now"),
        (
            {
                "data_disk": {},
                "redis_writes": {"kind": "misconf"},
                "redis_persistence": {"blocks_writes": True},
            },
            "free-disk",
        ),
        (
            {"redis_role": {"role": "replica", "link": "down"}, "redis_writes": {"kind": "readonly"}},
            "promote",
        ),
        ({"redis_credentials": {"remedy": "settings"}}, "restore-settings"),
        ({"redis_credentials": {"remedy": "recreate"}}, "recreate-clients"),
        ({"redis_answers": {"kind": "maxclients"}}, "restart-clients"),
        ({"redis_clients": {}}, "restart-clients"),
    ],
)
def test_the_one_that_fits_comes_alone(bad: dict[str, dict[str, Any]], first: str) -> None:
    assert advised(**bad) == [first]


@pytest.mark.parametrize(
    "bad",
    [
        {"redis_answers": {"kind": "loading"}},
        {"redis_answers": {"kind": "refused"}},
        {"redis_answers": {"kind": "wrong_password"}},
        {"redis_answers": {"kind": "auth_required"}},
        {"redis_answers": {"kind": "no_password_set"}},
        {"redis_answers": {"kind": "busy"}},
        {"redis_writes": {"kind": "oom"}, "redis_memory": {"raise_to": 0}},
        {"redis_role": {"role": "replica", "link": "up"}, "redis_writes": {"kind": "readonly"}},
        {"data_disk": {}},
    ],
)
def test_what_a_restart_would_make_worse_or_nothing_here_helps_gets_none(
    bad: dict[str, dict[str, Any]],
) -> None:
    assert advised(**bad) == []


@pytest.mark.parametrize("worst", ["corrupt_aof", "corrupt_snapshot", "configuration"])
def test_a_server_that_cannot_start_is_not_only_started(worst: str) -> None:
    bad = {"redis_runtime": {}, "redis_answers": {"kind": "refused"}, "redis_log": {"worst": worst}}
    assert "restart" not in advised(**bad)


def test_no_mitigation_empties_a_database() -> None:
    root = PLAYBOOK.parents[1]
    shipped = [
        *root.glob("playbooks/**/*.yml"),
        *root.glob("collections/**/*.py"),
        *root.glob("collections/**/*.yml"),
    ]
    assert [
        p.name for p in shipped if "flushall" in p.read_text().lower() or "flushdb" in p.read_text().lower()
    ] == []
