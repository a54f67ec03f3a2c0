"""What a readiness address says is read whatever its status is, and a good status alone is no proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.readiness import checks_of, measure_ready

from runbook.rehearsal.processes import free_port
from runbook.rehearsal.services.web import Answer, in_background, listen


@dataclass
class Api:
    """A server whose one answer a test sets."""

    port: int
    answer: Answer = field(default_factory=Answer)

    def measure(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Return the findings by their check."""
        ready = {
            "url": f"http://127.0.0.1:{self.port}/readyz", "status": [200], "timeout": 1.0, "others": [],
            "database": "db_connected", "migrations": "migrations_current", "hints": {}, **options,
        }  # fmt: skip
        found = {one["check"]: one for one in measure_ready(ready)}
        assert tuple(found) == checks_of(ready)
        return found


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api(free_port())
    server = listen("127.0.0.1", made.port, lambda _request: made.answer, lambda *_: None)
    in_background(server)
    yield made
    server.shutdown()
    server.server_close()


def statuses(found: dict[str, dict[str, Any]]) -> list[str]:
    return [found[check]["status"] for check in ("service_ready", "database_connected", "migrations_current")]


GOOD = {"status": "ready", "db_connected": True, "migrations_current": True}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, GOOD), ["ok", "ok", "ok"]),
        (Answer(503, {**GOOD, "db_connected": False}), ["fail", "fail", "ok"]),
        (Answer(200, {**GOOD, "db_connected": False}), ["fail", "fail", "ok"]),
        (Answer(503, {**GOOD, "migrations_current": False}), ["fail", "ok", "fail"]),
        (Answer(503, GOOD), ["fail", "ok", "ok"]),
        (Answer(200, {"status": "ready"}), ["fail", "unknown", "unknown"]),
        (Answer(200, {**GOOD, "db_connected": "true"}), ["fail", "unknown", "ok"]),
        (Answer(200, b"<html>It works!</html>"), ["fail", "unknown", "unknown"]),
        (Answer(200, [GOOD]), ["fail", "unknown", "unknown"]),
        (Answer(200, b""), ["fail", "unknown", "unknown"]),
        (Answer(500, b"<html>Bad gateway</html>"), ["fail", "unknown", "unknown"]),
    ],
)
def test_an_answer_is_judged_by_what_it_says(api: Api, answer: Answer, expected: list[str]) -> None:
    api.answer = answer
    found = api.measure()
    assert statuses(found) == expected
    assert bool(found["service_ready"]["observed"]["reason"]) == (expected[0] == "fail")


def test_a_good_status_with_a_bad_field_names_both(api: Api) -> None:
    api.answer = Answer(200, {**GOOD, "db_connected": False})
    found = api.measure(hints={"db_connected": "runbook run shop database-failure"})
    assert "answers 200 and says: db_connected is false" in found["service_ready"]["summary"]
    assert found["database_connected"]["summary"].endswith("Next: runbook run shop database-failure")
    assert found["service_ready"]["observed"]["fields"] == {"db_connected": False, "migrations_current": True}


def test_html_is_told_as_what_it_is(api: Api) -> None:
    api.answer = Answer(200, b"<html>It works!</html>")
    summary = api.measure()["service_ready"]["summary"]
    assert "does not say db_connected and migrations_current" in summary
    assert "It works!" in summary


def test_another_field_counts_and_one_that_is_switched_off_does_not(api: Api) -> None:
    api.answer = Answer(200, {"db_connected": True, "queue": False})
    assert api.measure(migrations="")["service_ready"]["status"] == "ok"
    assert api.measure(migrations="", others=["queue"])["service_ready"]["status"] == "fail"


def test_nobody_there_is_a_failure_and_says_nothing_of_the_database(api: Api) -> None:
    found = Api(free_port()).measure()
    assert statuses(found) == ["fail", "unknown", "unknown"]
    assert found["service_ready"]["observed"]["reason"] == "refused"
