"""The verdict of a run that only measured, where a step of it could not."""

from __future__ import annotations

from typing import Any

import pytest
from runbook_engine import reduce, verdict


def _result(*said: str) -> dict[str, Any]:
    steps = [
        {"id": f"{n}@barn", "name": "Measure", "host": "barn", "phase": "diagnose", "effect": "read",
         "status": "ignored", "changed": False, "msg": msg} for n, msg in enumerate(said)
    ]  # fmt: skip
    fine = {"check": "load", "host": "barn", "status": "ok", "summary": "fine"}
    none = {"status": "not_run", "reason": ""}
    return reduce._blank() | {
        "mode": "diagnose",
        "ended": "finished",
        "steps": steps,
        "findings": [fine],
        "verification": none,
    }


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (["no route"], "'Measure' on barn could not be measured: no route"),
        (["no route", "late"], "'Measure' on barn (and 1 more) could not be measured: no route"),
    ],
)
def test_what_could_not_be_measured_is_said_with_its_reason(said: list[str], reason: str) -> None:
    decided = verdict.decide(_result(*said))
    assert (decided["name"], decided["reason"]) == ("findings_remain", reason)
