"""Which runbooks findings call for: by their signals, causes first, each with what shows it."""

from __future__ import annotations

from typing import Any

import pytest
from runbook_engine import render
from runbook_engine.errors import UsageError
from runbook_engine.triage import triage


def header(name: str, when: str, *explains: str, severity: str = "SEV-2") -> dict[str, Any]:
    signal = {"name": f"{name}-seen", "when": when, "means": f"{name} is seen."}
    return {"name": name, "title": name, "severity": severity, "signals": [signal], "explains": [*explains]}


def finding(check: str, status: str = "fail", **observed: Any) -> dict[str, Any]:
    return {
        "check": check,
        "host": "h",
        "status": status,
        "observed": observed,
        "summary": f"{check} is bad.",
    }


HEADERS = [
    header("api", "status.service_ready == 'fail'", severity="SEV-1"),
    header("database", "status.database_connected == 'fail'", "api", "jobs", severity="SEV-1"),
    header("disk", "findings[?check == 'data_disk' && status == 'fail']", "database", "backup"),
    header("jobs", "status.job_heartbeat == 'fail'", severity="SEV-3"),
    header("backup", "status.backup_age == 'fail'"),
]


def named(*findings: dict[str, Any], severities: dict[str, str] | None = None) -> list[str]:
    return [one["runbook"] for one in triage(HEADERS, severities or {}, list(findings))]


def test_nothing_found_calls_for_nothing() -> None:
    assert named() == []
    assert named(finding("service_ready", "ok"), finding("job_heartbeat", "unknown")) == []


def test_the_most_severe_comes_first_where_nothing_explains_anything() -> None:
    assert named(finding("backup_age"), finding("job_heartbeat"), finding("service_ready")) == [
        "api",
        "backup",
        "jobs",
    ]


def test_a_cause_comes_before_what_it_explains_however_severe_that_is() -> None:
    found = (finding("service_ready"), finding("database_connected"), finding("data_disk"))
    assert named(*found) == ["disk", "database", "api"]
    assert named(finding("service_ready"), finding("data_disk")) == ["api", "disk"]


def test_the_severity_of_the_system_counts() -> None:
    found = (finding("backup_age"), finding("job_heartbeat"))
    assert named(*found) == ["backup", "jobs"]
    assert named(*found, severities={"jobs": "SEV-1"}) == ["jobs", "backup"]


def test_each_says_what_shows_it_and_what_may_be_its_cause() -> None:
    disk, database = triage(HEADERS, {}, [finding("data_disk"), finding("database_connected")])
    assert disk["signals"] == [
        {"name": "disk-seen", "means": "disk is seen.", "evidence": ["data_disk is bad."]}
    ]
    assert database["signals"][0]["evidence"] == ["database_connected is bad."]
    assert (disk["explained_by"], database["explained_by"]) == ([], ["disk"])


def test_a_circle_ends() -> None:
    round_about = [header("a", "findings", "b"), header("b", "findings", "a")]
    assert [one["runbook"] for one in triage(round_about, {}, [finding("x")])] == ["a", "b"]


def test_a_condition_that_cannot_be_read_names_its_runbook() -> None:
    with pytest.raises(UsageError, match="signal broken-seen of the runbook broken"):
        triage([header("broken", "status.[")], {}, [finding("x")])


def test_a_reader_is_told_all_of_it() -> None:
    called = triage(HEADERS, {}, [finding("data_disk"), finding("database_connected")])
    told = "\n".join(render.recommendation({"advised": [], "runbooks": called}))
    assert "1.  disk: disk (SEV-2)" in told
    assert "data_disk is bad." in told
    assert "disk; mend that first" in told
    assert render.recommendation({"advised": [], "runbooks": []}) == [
        "No runbook of this system fits these findings."
    ]
