"""The share of a service's answers that were errors of the server, read from its own log."""

from __future__ import annotations

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.service_errors import measure_errors

RULE = {"pattern": r"(GET|POST) \S+ (?P<status>\d{3})\b", "max_percent": 5.0, "at_least": 20}


def lines(good: int, bad: int) -> list[str]:
    """Return a log with so many answers of each kind, and lines that are none."""
    said = ["INFO api: listening on port 500", "ERROR api: GET went wrong"]
    return (
        said + ["INFO api: GET /v1/bookings 200 3ms"] * good + ["INFO api: POST /v1/bookings 503 9ms"] * bad
    )


@pytest.mark.parametrize(
    ("good", "bad", "status"),
    [(0, 0, "ok"), (100, 0, "ok"), (95, 5, "ok"), (94, 6, "fail"), (0, 19, "ok"), (0, 20, "fail")],
)
def test_a_share_above_the_limit_fails_when_there_are_enough(good: int, bad: int, status: str) -> None:
    found = measure_errors(lines(good, bad), RULE, 15)
    assert found["status"] == status
    assert (found["observed"]["errors"], found["observed"]["answers"]) == (bad, good + bad)


def test_the_numbers_are_in_the_sentence() -> None:
    summary = measure_errors(lines(94, 6), RULE, 15)["summary"]
    assert summary == "6 of 100 answers of the last 15 min were errors of the server (6 %, limit 5 %)."


@pytest.mark.parametrize("pattern", ["GET (", r"GET \S+ (\d{3})"])
def test_a_pattern_that_tells_no_status_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"answers\.pattern"):
        measure_errors([], {**RULE, "pattern": pattern}, 15)
