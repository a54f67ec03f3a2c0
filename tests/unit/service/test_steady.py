"""A service that comes up and falls again is not well: how many good measurements in a row are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.action import service_health

OK, FAIL = "ok", "fail"


class Measuring(service_health.ActionModule):
    """The action without Ansible: what each measurement says is given."""

    def __init__(self, said: list[str]) -> None:
        self.said, self.measured = said, 0

    def _measured(self, *_given: Any) -> dict[str, Any]:
        status = self.said[min(self.measured, len(self.said) - 1)]
        self.measured += 1
        return {"findings": [{"status": status, "observed": {}}]}


@pytest.mark.parametrize(
    ("said", "steady", "wait", "measured"),
    [
        ([OK], 1, 0.0, 1),
        ([FAIL], 1, 0.0, 1),
        ([FAIL, OK], 1, 60.0, 2),
        ([OK, OK, OK], 3, 0.0, 3),
        ([OK, FAIL, OK, OK, OK], 3, 60.0, 5),
        ([OK, OK, FAIL], 3, 0.0, 3),
    ],
)
def test_it_measures_until_enough_were_good_in_a_row(
    monkeypatch: pytest.MonkeyPatch, said: list[str], steady: int, wait: float, measured: int
) -> None:
    monkeypatch.setattr(service_health.time, "sleep", lambda _s: None)
    action = Measuring(said)
    options = {"outside": [], "cdn": {}, "wait": wait, "steady": steady}
    result = action.act(options, {})
    assert action.measured == measured
    assert result["findings"][0]["status"] == said[measured - 1]
