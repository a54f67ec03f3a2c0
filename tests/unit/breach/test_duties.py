"""The clocks of the duties to notify."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.breach.duties import duties
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

AWARE = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def found(hours: float, **changes: Any) -> dict[str, dict[str, Any]]:
    """The findings so many hours after somebody knew."""
    params: dict[str, Any] = {
        "aware_at": AWARE.isoformat(),
        "authority": "",
        "authority_hours": 72.0,
        "subscribers": 3,
        "authority_draft": "",
        "subscribers_draft": "",
    }
    result = duties({**params, **changes}, now=AWARE + timedelta(hours=hours))
    return {one["check"]: one for one in result["findings"]}


@pytest.mark.parametrize(
    ("hours", "status", "told"),
    [
        (0, "warn", "by 2026-11-24T03:00:00+00:00 (72 h left)"),
        (47, "warn", "25 h left"),
        (49, "fail", "23 h left"),
        (72.5, "fail", "had to be told by 2026-11-24T03:00:00+00:00: tell it now"),
    ],
)
def test_the_clock_of_the_authority(hours: float, status: str, told: str) -> None:
    authority = found(hours)["duty_authority"]
    assert (authority["status"], told in authority["summary"]) == (status, True)


@pytest.mark.parametrize(
    ("subscribers", "status", "told"),
    [(3, "warn", "tell 3 subscribers"), (None, "warn", "tell every subscriber"), (0, "ok", "Nobody's data")],
)
def test_the_people_concerned(subscribers: int | None, status: str, told: str) -> None:
    people = found(5, subscribers=subscribers)["duty_subscribers"]
    assert (people["status"], told in people["summary"]) == (status, True)


def test_what_a_draft_leaves_open_is_counted(tmp_path: Path) -> None:
    draft = tmp_path / "authority.md"
    assert "no draft was made yet" in found(1, authority_draft=str(draft))["duty_authority"]["summary"]
    draft.write_text("Nature: theft\n- **TO CONFIRM: what was read**\n")
    authority = found(1, authority_draft=str(draft))["duty_authority"]
    assert authority["observed"]["open"] == ["what was read"]
    assert "leaves 1 points open" in authority["summary"]
    draft.write_text("Nature: theft\n")
    assert "ready to be read" in found(1, authority_draft=str(draft))["duty_authority"]["summary"]


@pytest.mark.parametrize("aware", ["2026-11-21T04:00:00Z", "soon"])
def test_a_moment_that_cannot_be_is_refused(aware: str) -> None:
    with pytest.raises(OncallError, match="Next:"):
        found(0, aware_at=aware)
