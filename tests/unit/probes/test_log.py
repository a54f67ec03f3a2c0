"""Lines as PostgreSQL 12 to 18 wrote them, each with the class it belongs to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.log import (
    classify,
    group_lines,
    measure_log,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import DEFAULTS
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import LogText

STAMP = "2026-11-21 06:40:00.123 UTC [77] "
LINES = [
    ('PANIC:  could not write to file "pg_wal/xlogtemp.99": No space left on device', "disk_full"),
    ('ERROR:  could not extend file "base/5/16384": No space left on device', "disk_full"),
    ("FATAL:  sorry, too many clients already", "too_many_clients"),
    (
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "too_many_clients",
    ),
    (
        "FATAL:  remaining connection slots are reserved for non-replication superuser connections",
        "too_many_clients",
    ),
    ("ERROR:  invalid page in block 10 of relation base/5/16400", "corruption"),
    ("WARNING:  page verification failed, calculated checksum 1234 but expected 4321", "corruption"),
    ("PANIC:  could not locate a valid checkpoint record", "corruption"),
    ("LOG:  server process (PID 88) was terminated by signal 9: Killed", "out_of_memory"),
    ("ERROR:  out of memory", "out_of_memory"),
    ("LOG:  server process (PID 88) was terminated by signal 11: Segmentation fault", "crash_loop"),
    ("LOG:  aborting startup due to startup process failure", "crash_loop"),
    ("LOG:  database system was not properly shut down; automatic recovery in progress", "crash_loop"),
    ('FATAL:  password authentication failed for user "roost"', "authentication"),
    (
        'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "roost", database "roost_prod"',
        "authentication",
    ),
    ('FATAL:  could not open file "global/pg_control": Permission denied', "permission"),
    ('FATAL:  configuration file "postgresql.conf" contains errors', "other"),
    ('ERROR:  duplicate key value violates unique constraint "a_pkey"', None),
    ("ERROR:  permission denied for table subscribers", None),
    ("FATAL:  terminating connection due to administrator command", None),
    ("LOG:  checkpoint starting: time", None),
    ("STATEMENT:  SELECT 'PANIC: No space left on device'", None),
    ("    at Object.write (No space left on device)", None),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_each_line_belongs_to_its_class(line: str, expected: str | None) -> None:
    assert classify(STAMP + line) == expected


def test_groups_count_and_keep_the_first_and_the_last_time() -> None:
    lines = [f"2026-11-21 0{h}:00:00.000 UTC [7] FATAL:  sorry, too many clients already" for h in (1, 2, 3)]
    (group,) = group_lines(lines)
    assert group.as_dict() == {
        "class": "too_many_clients",
        "count": 3,
        "first": "2026-11-21T01:00:00Z",
        "last": "2026-11-21T03:00:00Z",
        "sample": lines[-1],
    }


class _Recorded:
    """A provider that replays one log."""

    def __init__(self, text: str) -> None:
        self._text = text

    def logs(self, *, hours: float, max_bytes: int) -> LogText:
        return LogText(self._text[-max_bytes:], "a recorded log")


def _finding(text: str) -> dict[str, Any]:
    now = datetime(2026, 11, 21, 6, 41, tzinfo=UTC)
    (found,) = measure_log(_Recorded(text), DEFAULTS, ["canary-known"], now)  # type: ignore[arg-type]
    return found


def test_the_cause_is_found_far_behind_the_noise_it_made() -> None:
    noise = STAMP + "FATAL:  the database system is in recovery mode\n"
    found = _finding(STAMP + "PANIC:  could not write to file: No space left on device\n" + noise * 500)
    assert (found["status"], found["observed"]["worst"]) == ("fail", "disk_full")


def test_what_is_long_over_is_shown_but_does_not_fail() -> None:
    found = _finding("2026-11-21 01:00:00.000 UTC [7] FATAL:  sorry, too many clients already\n")
    assert found["status"] == "warn"
    assert "5.7 h ago" in found["summary"]


def test_what_is_older_than_the_window_is_left_out() -> None:
    assert _finding("2026-11-19 01:00:00.000 UTC [7] PANIC:  No space left on device\n")["status"] == "ok"


def test_secrets_in_the_sample_are_masked() -> None:
    line = (
        STAMP
        + "FATAL:  cannot use postgresql://roost:canary-url@db/roost password=canary-pair canary-known\n"
    )
    assert "canary" not in str(_finding(line))
