"""Who runs, as each door tells it."""

from __future__ import annotations

import getpass

import pytest
from runbook_engine import origin

AWX = {"JOB_ID": "7", "AWX_HOST": "http://127.0.0.1"}


@pytest.mark.parametrize(
    ("environ", "variables", "expected"),
    [
        ({}, {}, getpass.getuser()),
        ({"RUNBOOK_OPERATOR": "alice"}, {}, "alice"),
        ({**AWX, "RUNBOOK_OPERATOR": "awx"}, {"awx_user_name": "alice", "tower_user_name": "alice"}, "alice"),
        ({**AWX}, {"tower_user_name": "alice"}, "alice"),
        ({**AWX}, {"awx_schedule_name": "nightly"}, "nightly"),
        # Elsewhere it is a variable like any other: nobody becomes somebody else by it.
        ({"RUNBOOK_OPERATOR": "alice"}, {"awx_user_name": "bob"}, "alice"),
    ],
)
def test_the_operator(environ: dict[str, str], variables: dict[str, str], expected: str) -> None:
    assert origin.operator(environ, variables) == expected
